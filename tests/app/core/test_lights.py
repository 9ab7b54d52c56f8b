"""The rules of the release gate, on figures that can be checked by hand."""

from typing import Any

import pytest

from app.core import lights
from app.core.lights import Without, stopped_by, unmeasured, verdict

CLEAN = {"patients": 0, "identical": 0, "near": 0}
GREEN_UTILITY = {"name": "utility", "state": "green", "sentence": "Fine."}


def report(**changes: Any) -> dict[str, Any]:
    """Of an audit that found nothing wrong."""
    copies = {
        "rate": {"count": 1, "n": 200, "high": 0.0275}, "floor": {"count": 1, "n": 200},
        "above_floor": {"is_above": changes.get("is_above", False)},
    }  # fmt: skip
    auc = {"value": 0.5, "low": 0.42, "high": changes.get("high", 0.58)}
    return {
        "images": {"was_learnt": changes.get("was_learnt", True)},
        "privacy": {"spaces": {"pixels": {"copies": copies}}, "membership": {"auc": auc}},
    }


def found(**options: Any) -> dict[str, dict[str, str]]:
    given = {"leaks": CLEAN, "report": report(), "utility": GREEN_UTILITY, **options}
    return {light["name"]: light for light in lights.lights(**given)}


def row(arm: str, value: float, *, size: float | None = None, low: float = 0.6, seeds: int = 3) -> dict[str, Any]:
    figure = {"value": value, "low": low, "high": value + 0.05}
    return {"arm": arm, "size": size, "mean": {"balanced_accuracy": figure, "seeds": list(range(seeds))}}


def table(*rows: dict[str, Any], network: str = "resnet50", tested_on: str = "own") -> dict[str, Any]:
    return {"architecture": network, "tested_on": tested_on, "rows": list(rows), "num_classes": 4, "num_images": 120}


def utility(*tables: dict[str, Any]) -> dict[str, str]:
    return lights.utility(study="Study 3", tables=tables)


class TestTheVerdict:
    def test_is_releasable_if_all_four_are_green(self) -> None:
        every = list(found().values())
        assert [light["state"] for light in every] == ["green"] * 4
        assert (verdict(every), stopped_by(every)) == ("releasable", [])

    def test_is_not_releasable_for_one_red_or_grey_light(self) -> None:
        red = list(found(leaks={"patients": 2}).values())
        assert (verdict(red), stopped_by(red)) == ("not releasable", ["leakage"])
        grey = list(found(utility=unmeasured()).values())
        assert (verdict(grey), stopped_by(grey)) == ("not releasable", ["utility"])


class TestCopies:
    def test_are_not_known_of_a_set_that_nobody_audited(self) -> None:
        lights = found(report=None)
        assert [lights[name]["state"] for name in ("copies", "membership")] == ["grey", "grey"]
        assert "audit the set" in lights["copies"]["sentence"]

    def test_are_not_known_where_the_wrong_images_were_searched(self) -> None:
        assert found(report=report(was_learnt=False))["copies"]["state"] == "grey"

    def test_are_not_known_of_images_that_were_rejected_when_the_set_was_audited(self) -> None:
        light = found(num_unseen=3)["copies"]
        assert light["state"] == "grey"
        assert light["sentence"].startswith("3 images were rejected when the set was audited")

    def test_are_red_where_more_are_flagged_than_of_unseen_images(self) -> None:
        assert found(report=report(is_above=True))["copies"]["state"] == "red"

    def test_that_were_left_out_are_no_longer_in_the_set(self) -> None:
        light = found(report=report(is_above=True), without=Without(10, 100, audited_since=False))["copies"]
        assert light["state"] == "green"
        assert light["sentence"].startswith("10 of 100 images (10.0 %) were flagged as copies and left out.")
        assert light["sentence"].endswith(
            "As drawn: 1 of 200 images is flagged as a copy (pixels; at most 2.8 % with 95 % confidence), "
            "against 1 of 200 unseen real ones: significantly more."
        )

    def test_say_of_how_many_groups_the_unseen_images_are(self) -> None:
        audited = report()
        audited["privacy"]["spaces"]["pixels"]["copies"]["floor"] |= {"num_groups": 31, "num_groups_flagged": 1}
        said = found(report=audited)["copies"]["sentence"]
        assert "against 1 of 200 unseen real ones (of 31 patients or groups): not significantly more." in said

    def test_left_out_by_a_search_that_could_not_be_tested_tell_nothing_of_the_rest(self) -> None:
        audited = report()
        copies = audited["privacy"]["spaces"]["pixels"]["copies"]
        copies["above_floor"] = {"is_above": None, "reason": "Too few unseen images."}
        light = found(report=audited, without=Without(5, 100, audited_since=False))["copies"]
        assert light["state"] == "grey"
        assert light["sentence"].endswith("Too few unseen images.")

    @pytest.mark.parametrize("audited_since", [False, True])
    def test_beyond_one_in_ten_leave_a_set_that_nobody_can_trust(self, audited_since: bool) -> None:
        light = found(without=Without(11, 100, audited_since=audited_since))["copies"]
        assert light["state"] == "red"
        assert "what the search misses" in light["sentence"]

    def test_of_the_set_itself_decide_once_it_was_audited(self) -> None:
        assert (
            found(report=report(is_above=True), without=Without(1, 100, audited_since=True))["copies"]["state"] == "red"
        )

    def test_are_told_of_the_search_that_flags_most(self) -> None:
        audited = report()
        pixels = audited["privacy"]["spaces"]["pixels"]["copies"]
        pixels["rate"] = {"count": 0, "n": 200, "high": 0.018}
        audited["privacy"]["spaces"]["resnet50"] = {
            "copies": {**pixels, "rate": {"count": 1, "n": 200, "high": 0.0275}}
        }
        sentence = found(report=audited)["copies"]["sentence"]
        assert sentence.startswith(
            "1 of 200 images is flagged as a copy (resnet50; at most 2.8 % with 95 % confidence)"
        )


def test_membership_is_red_above_0_60() -> None:
    assert found(report=report(high=0.60))["membership"]["state"] == "green"
    assert found(report=report(high=0.61))["membership"]["state"] == "red"


class TestUtility:
    def test_is_green_at_85_percent_of_what_real_images_teach(self) -> None:
        light = utility(table(row("real_equal", 0.8), row("synthetic", 0.68, size=1)))  # 0.68 / 0.8 = 0.85
        assert light["state"] == "green"
        assert light["sentence"] == (
            "Study 3: trained on synthetic images alone, the network reaches 85 % of what the real images behind them teach, with an interval "
            "above chance: resnet50 0.680 [0.600, 0.730] against 0.800, ratio 0.85. Balanced accuracy, mean of 3 seeds, on 120 locked test "
            "images; size 1 of the synthetic images; chance is 0.250."
        )

    def test_is_red_below(self) -> None:
        assert utility(table(row("real_equal", 0.8), row("synthetic", 0.67, size=1)))["state"] == "red"

    def test_is_red_where_the_interval_reaches_chance(self) -> None:
        light = utility(table(row("real_equal", 0.3), row("synthetic", 0.3, size=1, low=0.25)))
        assert light["state"] == "red"

    def test_asks_every_network_and_picks_none(self) -> None:
        good = table(row("real_equal", 0.8), row("synthetic", 0.8, size=1))
        bad = table(row("real_equal", 0.8), row("synthetic", 0.5, size=1), network="vgg19")
        light = utility(good, bad)
        assert light["state"] == "red"
        assert "1 of 2 networks misses" in light["sentence"]
        assert "vgg19 0.500" in light["sentence"]
        assert "resnet50" not in light["sentence"]

    def test_takes_size_1_and_never_the_best_size(self) -> None:
        sizes = [row("synthetic", value, size=size) for size, value in ((0.5, 0.3), (1.0, 0.5), (5.0, 0.79))]
        assert utility(table(row("real_equal", 0.8), *sizes))["state"] == "red"

    def test_takes_the_largest_where_size_1_was_not_studied(self) -> None:
        sizes = [row("synthetic", 0.79, size=0.5), row("synthetic", 0.5, size=2.0)]
        light = utility(table(row("real_equal", 0.8), *sizes))
        assert (light["state"], "size 2 of the synthetic" in light["sentence"]) == ("red", True)

    def test_looks_at_the_studys_own_test_images_only(self) -> None:
        elsewhere = table(row("real_equal", 0.8), row("synthetic", 0.1, size=1), tested_on="other hospital")
        assert utility(table(row("real_equal", 0.8), row("synthetic", 0.8, size=1)), elsewhere)["state"] == "green"

    def test_is_grey_without_the_arm_to_compare_with(self) -> None:
        light = utility(table(row("real", 0.8), row("synthetic", 0.8, size=1)))
        assert light["state"] == "grey"
        assert "no arm real_equal" in light["sentence"]

    def test_is_grey_where_a_network_was_not_measured_and_red_where_another_one_fails_beside_it(self) -> None:
        failed = {"arm": "synthetic", "size": 1, "seeds": []}
        unknown = table(row("real_equal", 0.8), failed, network="vgg19")
        light = utility(table(row("real_equal", 0.8), row("synthetic", 0.8, size=1)), unknown)
        assert light["state"] == "grey"
        assert "vgg19: no test of the arm synthetic succeeded" in light["sentence"]
        assert utility(table(row("real_equal", 0.8), row("synthetic", 0.2, size=1)), unknown)["state"] == "red"

    def test_names_the_worst_of_many(self) -> None:
        many = [
            table(row("real_equal", 0.8), row("synthetic", 0.7 + k / 100, size=1), network=f"n{k}") for k in range(6)
        ]
        sentence = utility(*many)["sentence"]
        assert sentence.index("n0 0.700") < sentence.index("n3 0.730") < sentence.index("and 2 more")
        assert "n5" not in sentence
