import json

import numpy as np
import pytest

from tests.workers.ml.metrics.arms_data import SETTINGS, arm, study
from workers.ml.metrics.saturation import saturation

LABELS = np.arange(200) % 2


def wrong(*counts):
    """An arm with a seed for each count of wrong images, of both classes alike, and always the first ones."""
    return arm(*(np.where(np.arange(200) < count, 1 - LABELS, LABELS) for count in counts))


def point(arms, **changes):
    arguments = {"labels": LABELS, "groups": None, "margin": 0.01, **SETTINGS, **changes}
    return saturation(arms=arms, **arguments)


def test_the_smallest_size_within_the_margin_of_the_best():
    # 0.7, 0.89, 0.9, 0.9: the second lies 0.01 below the best, which is within the margin
    report = point({5: wrong(20), 0.5: wrong(60), 1: wrong(22), 2: wrong(20)})
    assert (report["state"], report["size"], report["best"]) == ("saturated", 1, 2)
    assert [each["size"] for each in report["points"]] == [0.5, 1, 2, 5]
    assert report["points"][1]["shortfall"]["value"] == pytest.approx(0.01)
    assert report["points"][1]["value"] == pytest.approx(0.89)


def test_says_whether_the_test_images_show_it():
    # 2 of 200 images differ: the shortfall of 0.01 may as well be 0.03
    arms = {1: wrong(22), 2: wrong(20), 4: wrong(20)}
    loose, strict = point(arms, margin=0.05), point(arms)
    assert (loose["shown"], strict["shown"]) == (True, False)
    assert strict["points"][0]["shortfall"]["high"] > 0.01
    assert strict["sentence"].startswith(
        "Size 1 is the smallest whose mean balanced accuracy over seeds lies at most 0.01 below that of the best size: 0.010 "
        "below, 95 % interval -"
    )
    upper = strict["points"][0]["shortfall"]["high"]  # of sizes 2 and 4 alike
    assert strict["sentence"].endswith(
        f"The test images do not show that no larger size is better than it by more than 0.01: size 2 may be better by up to {upper:.3f} "
        "(95 % interval, paired)."
    )
    assert loose["sentence"].endswith("The test images show that no larger size is better than it by more than 0.05.")


def other_wrong(count):
    """An arm that gets other images wrong than `wrong` does: the last ones."""
    return arm(np.where(np.arange(200) >= 200 - count, 1 - LABELS, LABELS))


def test_the_best_size_is_not_shown_by_being_the_best():
    # size 1 has one wrong image fewer than 2 and 4, and other ones: they may as well be better by far
    report = point({1: wrong(20), 2: other_wrong(21), 4: other_wrong(21)})
    assert (report["size"], report["best"], report["shown"]) == (1, 1, False)
    assert report["points"][0]["shortfall"] == {"value": 0, "low": None, "high": None}
    assert "size 2 may be better by up to 0.0" in report["sentence"]


def test_every_larger_size_has_to_stay_within_the_margin():
    # the best is 2, of which the shortfall is sure; 4 errs on other images and may be better
    arms = {1: wrong(20), 2: wrong(20), 4: other_wrong(20)}
    report = point(arms)
    assert (report["size"], report["best"], report["shown"]) == (1, 1, False)
    assert "size 4 may be better" in report["sentence"]
    assert point({**arms, 4: wrong(24)})["shown"] is True


def test_smaller_sizes_need_not_be_ruled_out():
    # size 1 errs on other images and may be better; the point is 2, and larger ones are worse for sure
    report = point({1: other_wrong(24), 2: wrong(20), 4: wrong(30)})
    assert (report["size"], report["shown"]) == (2, True)


def test_it_is_the_mean_over_seeds_that_counts():
    report = point({1: wrong(10, 30), 2: wrong(20, 21), 4: wrong(20)})
    assert report["size"] == 1
    assert report["points"][0]["per_seed"] == pytest.approx([0.95, 0.85])


def test_a_curve_that_still_rises():
    report = point({1: wrong(60), 2: wrong(40), 4: wrong(20)})
    assert (report["state"], report["size"], report["shown"]) == ("rises", None, None)
    assert report["sentence"] == "The curve still rises: no smaller size comes within 0.01 of size 4, the largest."


def test_more_may_harm():
    report = point({1: wrong(40), 2: wrong(10), 4: wrong(30)})
    assert (report["state"], report["size"], report["shown"]) == ("saturated", 2, True)


def test_equal_sizes_saturate_at_the_smallest():
    report = point({1: wrong(20), 2: wrong(20), 4: wrong(20)})
    assert (report["size"], report["best"], report["shown"]) == (1, 1, True)


def test_two_sizes_are_too_few():
    report = point({1: wrong(20), 2: wrong(20)})
    assert (report["state"], report["size"]) == ("too_few", None)
    assert report["sentence"] == "A saturation point needs 3 sizes; there are 2."
    assert len(report["points"]) == 2


def test_one_group_has_a_point_that_is_not_shown():
    report = point({1: wrong(22), 2: wrong(20), 4: wrong(20)}, groups=np.zeros(200, dtype=np.int64))
    assert (report["size"], report["shown"]) == (1, False)
    assert report["sentence"].endswith("by more than 0.01: there is no interval.")
    json.dumps(report, allow_nan=False)


def test_the_order_of_sizes_does_not_matter():
    sizes = {size: study(seed=size, labels=LABELS, num_classes=2)[0] for size in (1, 2, 4)}
    assert point(sizes) == point(dict(reversed(sizes.items())))


@pytest.mark.parametrize(("arms", "margin"), [({}, 0.01), ({1: wrong(1)}, 1.0), ({1: wrong(1)}, -0.1)])
def test_no_sizes_or_an_impossible_margin_are_refused(arms, margin):
    with pytest.raises(ValueError, match="have no saturation point"):
        point(arms, margin=margin)
