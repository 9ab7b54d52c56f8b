"""The rule, on made-up shares. That real networks with a planted mark are caught is in test_planted_mark.py."""

from typing import Any

import numpy as np
import pytest

from workers.ml.explanation.places import border_mask, corner_mask, share
from workers.ml.explanation.shortcut import check_shortcut

CLASSES = ["plain", "marked"]
GRID = (np.mgrid[:64, :64][0] // 13) * 5 + np.mgrid[:64, :64][1] // 13  # 25 superpixels


def places(weights: np.ndarray) -> dict[str, Any]:
    """Of an explanation on a grid of 25 superpixels; no background can be told."""
    pairs = list(enumerate(weights.tolist()))
    border, corners = (
        vars(share(segments=GRID, weights=pairs, mask=mask((64, 64)))) for mask in (border_mask, corner_mask)
    )
    return {"border": border, "corners": corners, "outside": None, "reason": "fills the frame"}


def check(rows: list[dict[str, Any]], predicted: list[int], groups: np.ndarray | None = None) -> dict[str, Any]:
    return check_shortcut(places=rows, predicted=predicted, classes=CLASSES, groups=groups, confidence=0.95)


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=25)


def marked(rng: np.random.Generator) -> np.ndarray:
    weights = rng.normal(0, 0.1, 25)
    weights[0] += 1  # top left
    return weights


def test_a_mark_that_tells_one_class_is_found_in_the_images_taken_for_it():
    rng = np.random.default_rng(0)
    rows = [places(noise(rng)) for _ in range(12)] + [places(marked(rng)) for _ in range(4)]
    found = check(rows, [0] * 12 + [1] * 4)
    assert found["is_flagged"] is True
    assert "speaks for marked lies in the corners, which is 17 % of the area (n = 4 images" in found["sentence"]


def test_weight_in_the_middle_is_not_flagged():
    rng = np.random.default_rng(0)
    rows = [places(noise(rng) * 0.1 + np.eye(25)[12]) for _ in range(16)]
    found = check(rows, [0, 1] * 8)
    assert found["is_flagged"] is False
    assert "No more weight" in found["sentence"]


def test_weights_without_a_place_are_flagged_in_at_most_one_set_of_twenty():
    rng = np.random.default_rng(0)
    sets = [check([places(noise(rng)) for _ in range(16)], [0, 1] * 8)["is_flagged"] for _ in range(300)]
    assert np.mean(sets) <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_shares_stand_beside_those_of_the_area_and_p_is_corrected():
    rng = np.random.default_rng(1)
    found = check([places(marked(rng)) for _ in range(5)], [1] * 5)
    assert {(each["place"], each["taken_for"]) for each in found["tests"]} == {
        (place, taken_for) for place in ("border", "corners") for taken_for in (None, "marked")
    }  # fmt: skip
    for each in found["tests"]:
        assert each["difference"] == pytest.approx(each["share"] - each["area"])
        assert each["p_holm"] >= each["p"]


def test_too_few_images_or_patients_tell_nothing():
    rng = np.random.default_rng(2)
    rows = [places(marked(rng)) for _ in range(6)]
    assert check(rows[:3], [1] * 3)["is_flagged"] is None
    found = check(rows, [1] * 6, groups=np.array([0, 0, 0, 1, 1, 2]))
    assert (found["is_flagged"], found["tests"]) == (None, [])


def test_it_is_said_of_how_many_patients_too_few_images_are():
    rng = np.random.default_rng(2)
    rows = [places(marked(rng)) for _ in range(16)]
    said = check(rows, [1] * 16, groups=np.arange(16) % 3)["sentence"]
    assert said == "Too few images to tell: 16 images of 3 patients or groups; at least 4 are needed."
    assert check(rows[:3], [1] * 3)["sentence"] == "Too few images to tell: 3 images; at least 4 are needed."


def test_images_without_weight_to_compare_are_not_counted():
    rng = np.random.default_rng(2)
    empty = {name: {"area": 0.3, "positive": None} for name in ("border", "corners")} | {"outside": None}
    said = check([places(marked(rng)), *[empty] * 7], [1] * 8)["sentence"]
    assert said == ("Too few images to tell: 1 image with weight to compare, among 8 explained; at least 4 are needed.")
