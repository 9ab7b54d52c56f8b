import json

import numpy as np
import pytest

from tests.workers.ml.metrics.arms_data import SETTINGS, study
from workers.ml.metrics.arms import seed_mean
from workers.ml.metrics.comparison import compare_arms
from workers.ml.metrics.delong import delong, delong_difference
from workers.ml.metrics.families import holm
from workers.ml.metrics.paired import mcnemar, paired_difference
from workers.ml.metrics.weighted import METRICS

GROUPS = np.arange(120) // 3
LABELS = study()[1]
ARMS = {
    "real": study(seed=0, skill=2.0)[0],
    "synthetic": study(seed=1, skill=1.0)[0],
    "both": study(seed=2, skill=2.2, num_seeds=2)[0],
    "equal": study(seed=3, skill=2.0, num_seeds=1)[0],
}


def compare(arms=None, reference="real", **changes):
    arguments = {"labels": LABELS, "groups": GROUPS, **SETTINGS, **changes}
    return compare_arms(arms=ARMS if arms is None else arms, reference=reference, **arguments)


@pytest.fixture(scope="module")
def table():
    return compare()


def by_key(report):
    return {row["key"]: row for row in report["rows"]}


def test_rows_stand_in_the_given_order_and_the_reference_is_not_compared(table):
    assert [row["key"] for row in table["rows"]] == list(ARMS)
    assert table["reference"] == "real"
    assert by_key(table)["real"]["against_reference"] is None


def test_a_row_holds_what_the_single_functions_say(table):
    row, shared = by_key(table)["synthetic"], {"labels": LABELS, "groups": GROUPS}
    pair = {"first": ARMS["synthetic"], "second": ARMS["real"], **shared}
    alone = seed_mean(arm=ARMS["synthetic"], **shared, **SETTINGS)
    assert row["mean"] == {name: alone[name] for name in ("seeds", "method", *METRICS)}
    assert row["delong"] == delong(arm=ARMS["synthetic"], **shared, confidence=0.95)
    against = row["against_reference"]
    assert against["difference"] == paired_difference(**pair, **SETTINGS)
    assert against["mcnemar"] == mcnemar(**pair)
    assert against["delong"] == delong_difference(**pair, confidence=0.95)


def test_the_main_p_is_the_paired_bootstrap_of_balanced_accuracy_and_holms_family_all_rows(table):
    compared = [row["against_reference"] for row in table["rows"] if row["against_reference"]]
    p_values = [against["difference"]["balanced_accuracy"]["p"] for against in compared]
    assert [against["p"] for against in compared] == p_values
    assert [against["p_holm"] for against in compared] == holm(p_values)
    assert {key: table["family"][key] for key in ("metric", "test", "size")} == {
        "metric": "balanced_accuracy", "test": "paired bootstrap", "size": 3,
    }  # fmt: skip
    assert "Holm's correction (1979) over the 3 tests of this table" in table["family"]["method"]


def test_finds_the_worse_arm(table):
    worse = by_key(table)["synthetic"]["against_reference"]
    assert worse["p_holm"] < 0.05
    assert worse["difference"]["balanced_accuracy"]["high"] < 0
    assert worse["delong"]["high"] < 0
    assert by_key(table)["equal"]["against_reference"]["p_holm"] > 0.05


def test_the_order_of_rows_changes_nothing_to_the_last_digit(table):
    turned = compare(dict(reversed(ARMS.items())))
    assert by_key(turned) == by_key(table)
    assert {**turned, "rows": None} == {**table, "rows": None}


def test_the_same_input_gives_the_same_table(table):
    assert json.dumps(compare(), allow_nan=False) == json.dumps(table, allow_nan=False)


def test_a_row_alone_differs_only_in_holms_correction(table):
    alone = by_key(compare({key: ARMS[key] for key in ("real", "both")}))["both"]
    assert alone["against_reference"]["p_holm"] == alone["against_reference"]["p"]
    alone["against_reference"]["p_holm"] = by_key(table)["both"]["against_reference"]["p_holm"]
    assert alone == by_key(table)["both"]


def test_one_group_has_figures_and_no_tests():
    report = compare(groups=np.zeros_like(GROUPS))
    row = by_key(report)["synthetic"]["against_reference"]
    assert (row["p"], row["p_holm"], report["family"]["size"]) == (None, None, 0)
    json.dumps(report, allow_nan=False)


def test_the_reference_alone_is_a_table():
    report = compare({"real": ARMS["real"]})
    assert (len(report["rows"]), report["family"]["size"]) == (1, 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="There is no row 'paper' to compare with; the rows are real, synthetic"):
        compare(reference="paper")
    with pytest.raises(ValueError, match="cannot be paired"):
        compare({**ARMS, "other": study(num_classes=4)[0]})
