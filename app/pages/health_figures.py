"""Drawings of a dataset's health as SVG coordinates, each with the numbers that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 128.0, 40.0  # of a histogram, units
BIN = 8  # grey levels
LEVELS = 256


@dataclass(frozen=True)
class Histogram:
    """Grey levels of a class. path: SVG path data; quantiles: the levels below which 5, 50 and 95 % of the pixels lie."""

    name: str
    path: str
    quantiles: tuple[int, int, int]
    mean: float
    black: float
    white: float

    @property
    def summary(self) -> str:
        low, middle, high = self.quantiles
        return f"{self.name}: half of the pixels are below level {middle}, nine in ten between {low} and {high}."


def histograms(classes: Sequence[dict[str, Any]]) -> list[Histogram]:
    """Of every class that has images to learn from; one scale for all, by square roots, so that a black ground leaves room."""
    drawn = [each for each in classes if each["histogram"]]
    most = max((max(each["histogram"]) for each in drawn), default=1.0) or 1.0
    return [_histogram(each["name"], each["histogram"], most) for each in drawn]


def _histogram(name: str, shares: list[float], most: float) -> Histogram:
    step = WIDTH / len(shares)
    tops = [HEIGHT * (1 - (share / most) ** 0.5) for share in shares]
    steps = "".join(f"V{top:.1f}H{step * (place + 1):.1f}" for place, top in enumerate(tops))
    mean = sum(share * (place + 0.5) * BIN for place, share in enumerate(shares))
    quantiles = (_quantile(shares, 0.05), _quantile(shares, 0.5), _quantile(shares, 0.95))
    return Histogram(name, f"M0 {HEIGHT:.0f}{steps}V{HEIGHT:.0f}Z", quantiles, mean, shares[0], shares[-1])


def _quantile(shares: list[float], part: float) -> int:
    """The upper edge of the bin in which the part is reached."""
    total = 0.0
    for place, share in enumerate(shares):
        total += share
        if total >= part - 1e-9:
            return (place + 1) * BIN - 1
    return LEVELS - 1


@dataclass(frozen=True)
class Bar:
    """A baseline on a scale of 0 to 100: its balanced accuracy, the interval, and chance. title: what it sees, and how."""

    title: str
    accuracy: float
    value: float
    low: float
    high: float
    is_far: bool  # above chance, interval and all


def bars(baselines: dict[str, Any]) -> list[Bar]:
    return [_bar(model, baselines["chance"]) for model in baselines["models"]]


def _bar(model: dict[str, Any], chance: float) -> Bar:
    figure = model["balanced_accuracy"]
    return Bar(
        title=f"{model['what']}, {model['how'].removeprefix('a ')}",
        accuracy=model["accuracy"]["value"],
        value=100 * figure["value"],
        low=100 * figure["low"],
        high=100 * figure["high"],
        is_far=figure["low"] > chance,
    )
