"""Figures as JSON holds them: null instead of NaN, and then a reason."""

from typing import Any

import numpy as np

Report = dict[str, Any]
FEW_GROUPS = "The test images, or those of a class that it rests on, are of one group: there is no spread to take an interval from."


def number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def entry(value: Any, low: Any, high: Any, *, undefined: str) -> Report:
    """{value, low, high}, null for NaN; then with the reason, which is `undefined` where there is no value."""
    figures = {"value": number(value), "low": number(low), "high": number(high)}
    if figures["value"] is None:
        return {**figures, "low": None, "high": None, "reason": undefined}
    return {**figures, "reason": FEW_GROUPS} if figures["low"] is None else figures
