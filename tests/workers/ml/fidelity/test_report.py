"""A report on features whose outcome is known: same source, shifted, copied, missing classes."""

import json
from typing import Any

import numpy as np
import pytest

from tests.workers.ml.fidelity.references import features
from workers.ml.fidelity.comparison import METRICS, FeatureSet, Settings
from workers.ml.fidelity.report import fidelity_report, matched_places, measure_fidelity
from workers.ml.fidelity.variety import ImageSet, measure_variety

SETTINGS = Settings(k_precision=3, k_density=5, num_halves=10, subset_size=20, num_subsets=5, confidence=0.95, seed=0)
KINDS = ("synthetic", "floor", "synthetic_at_floor")


def some(num: int, *, seed: int, shift: float = 0.0, classes: int = 2, groups=None) -> FeatureSet:
    return FeatureSet(features(num, 16, seed=seed) + shift, np.arange(num) % classes, groups)


def sections(train, held_out, fake, *, num_classes: int = 2) -> list[dict[str, Any]]:
    found = list(
        measure_fidelity(train=train, held_out=held_out, fake=fake, num_classes=num_classes, settings=SETTINGS)
    )
    assert [(each.done, each.total, each.label) for each in found] == [
        (done, num_classes + 1, label) for done, label in enumerate((None, *range(num_classes)), start=1)
    ]
    return [each.figures for each in found]


def test_every_figure_has_its_interval_its_n_and_its_floor():
    whole, first, _ = sections(some(100, seed=0), some(40, seed=1), some(80, seed=2, shift=0.1))
    for metric in METRICS:
        for kind in KINDS:
            figure = whole[metric][kind]
            assert figure["low"] <= figure["value"] <= figure["high"], (metric, kind)
    assert [(first["fid"][kind]["n_real"], first["fid"][kind]["n_fake"]) for kind in KINDS] == [
        (50, 40),
        (50, 20),
        (50, 20),
    ]
    assert whole["kid"]["synthetic"]["subsets"]["size"] == 20


def test_worse_images_lie_above_the_floor_and_real_ones_at_it():
    train, held_out = some(100, seed=0), some(60, seed=1)
    good = sections(train, held_out, some(60, seed=2))[0]
    bad = sections(train, held_out, some(60, seed=2, shift=0.3))[0]
    assert abs(good["kid"]["synthetic"]["value"] - good["kid"]["floor"]["value"]) < 0.02
    for metric in ("kid", "fid"):
        assert bad[metric]["synthetic"]["low"] > bad[metric]["floor"]["high"]
    for metric in ("precision", "density", "coverage"):
        assert bad[metric]["synthetic"]["value"] < bad[metric]["floor"]["value"]
    assert not good["notes"]


def test_copies_of_training_images_are_nearer_than_unseen_real_ones():
    train = some(100, seed=0)
    whole = sections(train, some(100, seed=1), train)[0]
    assert whole["fid"]["synthetic"]["value"] == pytest.approx(0, abs=1e-6)
    assert any("Look for copies" in note for note in whole["notes"])


def test_one_class_gone_wrong_shows_in_its_own_row():
    fake = some(80, seed=2)
    fake.features[fake.labels == 1] += 0.5
    _, right, wrong = sections(some(100, seed=0), some(40, seed=1), fake)
    assert right["precision"]["synthetic"]["value"] > 0.7
    assert wrong["precision"]["synthetic"]["value"] < 0.2


@pytest.mark.parametrize(("num", "first"), [(499, "kid"), (500, "fid")])
def test_kid_comes_first_below_500_images(num: int, first: str):
    whole = sections(some(500, seed=0, classes=1), None, some(num, seed=1, classes=1), num_classes=1)[0]
    assert whole["order"][0] == first
    assert sorted(whole["order"]) == sorted(METRICS)


def test_without_held_out_images_the_floor_says_so():
    whole = sections(some(40, seed=0), None, some(40, seed=1))[0]
    for kind in ("floor", "synthetic_at_floor"):
        assert whole["kid"][kind]["value"] is None
        assert "no real images held out" in whole["kid"][kind]["reason"]


def test_what_cannot_be_computed_is_null_and_says_why():
    train = some(60, seed=0, classes=3)
    fake = FeatureSet(features(45, 16, seed=1), np.repeat([0, 1], [40, 5]), None)
    _, full, few, none = sections(train, some(30, seed=2, classes=3), fake, num_classes=3)
    assert full["coverage"]["synthetic"]["value"] is not None
    assert few["kid"]["synthetic"]["value"] is not None
    assert few["coverage"]["synthetic"]["reason"] == "20 and 5 images: at least 6 on each side are needed."
    assert none["fid"]["synthetic"]["value"] is None
    assert none["fid"]["synthetic"]["reason"] == "20 and 0 images: at least 2 on each side are needed."


def test_a_single_patient_gives_values_without_intervals():
    train = some(60, seed=0, groups=np.zeros(60, dtype=np.int64))
    whole = sections(train, None, some(60, seed=1))[0]
    assert whole["kid"]["synthetic"]["value"] is not None
    assert whole["kid"]["synthetic"]["low"] is None
    assert "single image or group" in whole["kid"]["synthetic"]["reason"]
    assert "too few to take an interval from halves" in whole["recall"]["synthetic"]["reason"]


def test_fid_of_fewer_images_than_dimensions_is_flagged():
    few, many = (sections(some(100, seed=0), None, some(num, seed=1))[0] for num in (14, 60))
    assert (few["fid"]["synthetic"]["rank_deficient"], many["fid"]["synthetic"]["rank_deficient"]) == (True, False)
    assert any("FID is mostly bias" in note for note in few["notes"])


def test_the_order_of_images_does_not_matter():
    train, fake = some(60, seed=0), some(50, seed=1)
    one = sections(train, None, fake)
    shuffled = np.random.default_rng(0).permutation(50)
    other = sections(train.of(np.arange(60)[::-1]), None, fake.of(shuffled))
    for before, after in zip(one, other, strict=True):
        for metric in METRICS:
            assert after[metric]["synthetic"]["value"] == pytest.approx(before[metric]["synthetic"]["value"], rel=1e-9)


def test_the_floor_holds_as_many_of_each_class_as_both_sides_have():
    one, other = np.array([0] * 7 + [1] * 2 + [2] * 3), np.array([2] * 1 + [1] * 9 + [0] * 4)
    of_one, of_other = matched_places(one=one, other=other, seed=0)
    assert np.bincount(one[of_one]).tolist() == np.bincount(other[of_other]).tolist() == [4, 2, 1]
    assert len(set(of_one)) == len(of_one)


def test_features_that_do_not_fit_their_labels_are_refused():
    with pytest.raises(ValueError, match="do not fit 4 labels and 5 groups"):
        FeatureSet(np.ones((5, 2)), np.zeros(4, dtype=np.int64), None)


def pictures(num: int, *, spread: int, seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    common = rng.integers(80, 170, (1, 32, 32, 1))
    return ImageSet(
        (common + rng.integers(-spread, spread + 1, (num, 32, 32, 1))).astype(np.uint8), np.arange(num) % 2, None
    )


def variety(images: ImageSet, *, num_classes: int = 2) -> dict[str, Any]:
    return measure_variety(images=images, num_classes=num_classes, num_pairs=50, confidence=0.95, seed=0)


class TestVariety:
    def test_images_that_differ_less_score_higher(self):
        dull, lively = variety(pictures(30, spread=5, seed=0)), variety(pictures(30, spread=60, seed=0))
        assert dull["whole"]["low"] > lively["whole"]["high"]
        assert dull["num_scales"] == 2

    def test_the_whole_is_the_mean_over_classes_that_have_a_pair(self):
        found = variety(pictures(30, spread=30, seed=0), num_classes=3)
        zero, one, none = found["per_class"]
        assert found["whole"]["value"] == pytest.approx((zero["value"] + one["value"]) / 2)
        assert (zero["n_images"], zero["n_pairs"], none["n_pairs"]) == (15, 50, 0)
        assert none["reason"].startswith("Fewer than two images")

    def test_one_pair_alone_still_has_a_value(self):
        images = pictures(2, spread=30, seed=0)
        found = variety(ImageSet(images.images_uint8, np.zeros(2, dtype=np.int64), np.array([4, 4])), num_classes=1)
        assert found["whole"]["value"] is not None
        assert found["whole"]["low"] is None
        assert "one group" in found["whole"]["reason"]


def test_a_report_can_be_held_by_json():
    found = list(
        measure_fidelity(
            train=some(40, seed=0), held_out=some(10, seed=1), fake=some(30, seed=2), num_classes=3, settings=SETTINGS
        )
    )
    images = variety(pictures(30, spread=30, seed=0))
    report = fidelity_report(
        extractors=[({"architecture": "resnet50"}, found)],
        ms_ssim={"synthetic": images, "train": images, "held_out": None},
        settings=SETTINGS,
    )
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    (only,) = report["extractors"]
    assert only["extractor"] == {"architecture": "resnet50"}
    assert [each["label"] for each in only["per_class"]] == [0, 1, 2]
    assert set(report["how"]) == {*METRICS, "ms_ssim"}
    assert report["settings"]["k_density"] == 5
