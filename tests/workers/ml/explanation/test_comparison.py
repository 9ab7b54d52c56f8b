import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from workers.ml.explanation.comparison import ExplainedImage, Subject, compare_explanations

SEGMENTS = np.arange(16).reshape(4, 4)
ARMS = ("real_equal", "synthetic")


def explained(
    item_id: int, top: list[int], *, deletion: float = 0.3, border: float | None = 0.4, predicted: int = 1
) -> ExplainedImage:
    """Of an image; the regions in `top` speak for class 1, and as much against class 0."""
    for_one = {segment: 1.0 if segment in top else -0.01 * segment for segment in range(16)}
    shares = {"area": 0.36, "positive": border, "absolute": 0.4}
    return ExplainedImage(
        item_id=item_id, predicted=predicted, probability=0.8, segments=SEGMENTS,
        weights=[{segment: -weight for segment, weight in for_one.items()}, for_one], deletion_auc=deletion, insertion_auc=0.7,
        stability=0.9, places={"label": predicted, "border": shares, "corners": shares, "outside": None, "reason": "fills the frame"},
    )  # fmt: skip


def subjects(number: int = 6, *, again: bool = True, **of_second: Any) -> list[Subject]:
    """The second arm's deletion area is 0.1 larger; two of the three regions are those of the first; seeds agree wholly."""
    return [
        Subject(
            100 + k, k % 2,
            {ARMS[0]: explained(k, [0, 1, 2]), ARMS[1]: explained(50 + k, [1, 2, 3], deletion=0.4 + k / 100, **of_second)},
            {ARMS[0]: explained(0, [0, 1, 2]), ARMS[1]: explained(0, [1, 2, 3])} if again else {},
        )
        for k in range(number)
    ]  # fmt: skip


def compare(rows: list[Subject], groups: np.ndarray | None = None) -> dict[str, Any]:
    found = compare_explanations(subjects=rows, arms=ARMS, classes=["a", "b"], groups=groups, top_k=3)
    json.dumps(found, allow_nan=False)
    return found


def row(found: dict[str, Any], what: str) -> dict[str, Any]:
    return next(each for each in found["summary"] if each["what"] == what)


def test_each_image_has_the_figures_of_both_arms_side_by_side():
    image = compare(subjects())["images"][1]
    assert (image["image_id"], image["label"], image["items"]) == (101, 1, {"real_equal": 1, "synthetic": 51})
    assert image["overlap"] == pytest.approx(2 / 4)
    assert image["deletion_auc"] == {"real_equal": 0.3, "synthetic": pytest.approx(0.41)}
    assert image["border"]["synthetic"] == {"area": 0.36, "positive": 0.4, "absolute": 0.4}
    assert image["outside"] == {"real_equal": None, "synthetic": None}
    assert image["outside_reason"] == "fills the frame"
    assert image["seed_overlap"] == {"real_equal": 1.0, "synthetic": 1.0}


def test_the_difference_is_second_minus_first_with_an_exact_p():
    found = row(compare(subjects()), "deletion_auc")
    assert found["difference"] == pytest.approx(0.125)
    assert found["values"] == {"real_equal": pytest.approx(0.3), "synthetic": pytest.approx(0.425)}
    assert found["low"] < 0.125 < found["high"]
    assert found["p"] == pytest.approx(2 / 2**6)
    assert found["p_holm"] == pytest.approx(5 * 2 / 2**6)  # of five figures that were measured
    assert "6 images" in found["method"]


def test_arms_that_do_not_differ_have_p_1():
    found = row(compare(subjects()), "border")
    assert (found["difference"], found["p"]) == (0, 1)


def test_what_was_measured_for_no_image_stands_there_without_figures():
    found = row(compare(subjects()), "outside")
    assert (found["values"], found["p"], found["num_images"]) == ({"real_equal": None, "synthetic": None}, None, 0)
    assert found["method"] == "Measured for no image."


def test_an_image_without_a_share_in_one_arm_is_left_out_of_that_row():
    rows = [*subjects(5), *subjects(1, border=None)]
    assert (row(compare(rows), "border")["num_images"], row(compare(rows), "deletion_auc")["num_images"]) == (5, 6)


def test_images_of_one_patient_count_once():
    found = row(compare(subjects(), groups=np.array([0, 0, 0, 1, 1, 1])), "deletion_auc")
    assert found["p"] == 0.5
    assert "6 images in 2 groups" in found["method"]


def test_overlap_is_for_the_class_that_the_first_arm_predicts():
    assert compare(subjects(predicted=0))["images"][0]["overlap"] == pytest.approx(2 / 4)


def test_overlap_of_two_seeds_is_for_the_same_class_as_that_of_the_arms():
    # two seeds of the second arm agree on class 1, which the first arm predicts, and on nothing of class 0, its own prediction
    def one(top_of_zero: list[int]) -> ExplainedImage:
        of_zero = {segment: float(segment in top_of_zero) for segment in range(16)}
        made = explained(1, [1, 2, 3], predicted=0)
        return replace(made, weights=[of_zero, made.weights[1]])

    first = {ARMS[0]: explained(0, [0, 1, 2]), ARMS[1]: one([8, 9, 10])}
    again = {ARMS[0]: explained(0, [0, 1, 2]), ARMS[1]: one([4, 5, 6])}
    image = compare([Subject(100, 1, first, again)])["images"][0]
    assert image["seed_overlap"] == {"real_equal": 1.0, "synthetic": 1.0}
    swapped = compare_explanations(
        subjects=[Subject(100, 1, first, again)], arms=(ARMS[1], ARMS[0]), classes=["a", "b"], groups=None, top_k=3
    )
    assert swapped["images"][0]["seed_overlap"] == {"synthetic": 0.0, "real_equal": 1.0}


def test_agreement_of_the_arms_is_held_against_that_of_two_seeds():
    found = compare(subjects())["agreement"]
    assert (found["overlap"], found["seed_overlap"]) == (pytest.approx(0.5), {"real_equal": 1.0, "synthetic": 1.0})
    assert (found["difference"], found["p"]) == (pytest.approx(-0.5), pytest.approx(2 / 2**6))


def test_one_seed_has_nothing_to_hold_it_against():
    found = compare(subjects(again=False))["agreement"]
    assert (found["difference"], found["seed_overlap"]) == (None, {"real_equal": None, "synthetic": None})
    assert "One seed" in found["method"]


def test_the_shortcut_check_is_made_for_each_arm():
    found = compare([*subjects(8, border=0.9)])["shortcut"]
    assert (found["real_equal"]["is_flagged"], found["synthetic"]["is_flagged"]) == (True, True)
    assert compare(subjects(3))["shortcut"]["synthetic"]["is_flagged"] is None


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match="no image that both"):
        compare([])
