"""A study's table: each arm with intervals, and against the reference with p-values that hold for the whole family."""

from collections.abc import Mapping

from workers.ml.metrics.arms import ArmPredictions, Labels, Resampled, describe, mean_report, resample
from workers.ml.metrics.delong import delong, delong_difference
from workers.ml.metrics.families import holm
from workers.ml.metrics.paired import difference_report, mcnemar, same_classes
from workers.ml.metrics.reports import Report

MAIN = "balanced_accuracy"


def compare_arms(
    *,
    arms: Mapping[str, ArmPredictions],
    reference: str,
    labels: Labels,
    groups: Labels | None,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Report:
    """A JSON-able table of arms that were tested on the same images. The order of rows changes no figure.

    arms: by the row's key. labels: (N,) in 0 .. K-1; groups: (N,) integers or None.

    Keys: those of `arms.test_images`, num_bootstrap, confidence, seed, reference; family: {metric, test, size, method};
    rows: [{key, mean: as `seed_mean` has it, delong, against_reference}]; the last is null for the reference itself, else
    {difference, mcnemar, delong, p, p_holm}, row minus reference.

    Raises ValueError for arrays that do not fit, or a reference that is no row.
    """
    if reference not in arms:
        raise ValueError(f"There is no row {reference!r} to compare with; the rows are {', '.join(arms)}.")
    for arm in arms.values():
        same_classes(arm, arms[reference])
    about = describe(
        labels=labels, groups=groups, num_classes=arms[reference].probabilities.shape[2], num_bootstrap=num_bootstrap,
        confidence=confidence, seed=seed,
    )  # fmt: skip

    def resampled(arm: ArmPredictions) -> Resampled:
        return resample(arm=arm, labels=labels, groups=groups, num_bootstrap=num_bootstrap, seed=seed)

    base = resampled(arms[reference])
    rows: list[Report] = []
    for key, arm in arms.items():
        found = base if key == reference else resampled(arm)
        against = None
        if key != reference:
            against = {
                "difference": difference_report(found, base, labels, about),
                **_tests(arm, arms[reference], labels, groups, confidence),
            }
        area = delong(arm=arm, labels=labels, groups=groups, confidence=confidence)
        mean = mean_report(arm, found, labels, about)
        rows.append({"key": key, "mean": mean, "delong": area, "against_reference": against})
    return {**about, "reference": reference, "family": _adjust(rows), "rows": rows}


def _tests(
    arm: ArmPredictions, reference: ArmPredictions, labels: Labels, groups: Labels | None, confidence: float
) -> Report:
    return {
        "mcnemar": mcnemar(first=arm, second=reference, labels=labels, groups=groups),
        "delong": delong_difference(
            first=arm, second=reference, labels=labels, groups=groups, confidence=confidence
        ),
    }  # fmt: skip


def _adjust(rows: list[Report]) -> Report:
    """Write p and p_holm to each row but the reference's; returns the family in words."""
    compared = [row["against_reference"] for row in rows if row["against_reference"] is not None]
    p_values = [against["difference"][MAIN]["p"] for against in compared]
    for against, p, adjusted in zip(compared, p_values, holm(p_values), strict=True):
        against |= {"p": p, "p_holm": adjusted}
    size = sum(p is not None for p in p_values)
    return {
        "metric": MAIN,
        "test": "paired bootstrap",
        "size": size,
        "method": f"p_holm is Holm's correction (1979) over the {size} {'test' if size == 1 else 'tests'} of this table: the paired bootstrap of balanced accuracy of "
        "every row against the reference. Other networks and test sets have their own; all other p-values are not corrected and only describe.",
    }
