"""Shares of images with exact intervals, in a form that JSON can hold."""

from workers.ml.metrics.reports import Report


def clopper_pearson(*, count: int, total: int, confidence: float) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934). total >= 1.

    Of images that are independent it is never narrower than it claims; of images of which several are of one patient, or look alike,
    it may be too narrow.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def rate(*, count: int, total: int, confidence: float) -> Report:
    """{n, count, value, low, high}; without images null and a reason."""
    if not total:
        return {**nothing("There are no images that could be compared."), "n": 0, "count": 0}
    low, high = clopper_pearson(count=count, total=total, confidence=confidence)
    return {"n": total, "count": count, "value": count / total, "low": low, "high": high}


def nothing(reason: str) -> Report:
    """A figure that cannot be had, and why."""
    return {"value": None, "low": None, "high": None, "reason": reason}
