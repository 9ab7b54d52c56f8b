"""Exact intervals of shares."""

import pytest

from workers.ml.privacy.rates import clopper_pearson, rate


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 100, 0.0, 0.0362), (100, 100, 0.9638, 1.0), (5, 10, 0.1871, 0.8129)],  # 1 - 0.025 ** (1 / 100) = 0.0362
)
def test_clopper_pearson(count, total, low, high):
    assert clopper_pearson(count=count, total=total, confidence=0.95) == pytest.approx((low, high), abs=1e-4)


def test_no_images_no_rate():
    assert rate(count=0, total=0, confidence=0.95)["value"] is None
