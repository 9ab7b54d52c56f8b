import numpy as np
import pytest

from workers.ml.explanation.places import border_mask, corner_mask, measure_places, share

SIDE = 20
QUARTERS = (np.mgrid[:SIDE, :SIDE][0] // 10) * 2 + np.mgrid[:SIDE, :SIDE][1] // 10  # 0 1 / 2 3


def test_the_frame_has_36_per_cent_of_the_area_and_the_corners_16():
    assert border_mask((100, 100)).mean() == pytest.approx(0.36)
    assert corner_mask((100, 100)).mean() == pytest.approx(0.16)
    assert border_mask((100, 100))[[0, 9, 10, 89, 90, 99], 50].tolist() == [True, True, False, False, True, True]


def test_weight_is_spread_evenly_over_its_superpixel():
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[:5, :10] = True  # half of quarter 0
    found = share(segments=QUARTERS, weights=[(0, 3.0), (1, 1.0), (2, -4.0), (3, 0.0)], mask=mask)
    assert found.area == pytest.approx(1 / 8)
    assert found.positive == pytest.approx(0.5 * 3 / 4)
    assert found.absolute == pytest.approx(0.5 * 3 / 8)


def test_equal_weights_in_equal_superpixels_have_the_share_of_the_area():
    for mask in (border_mask((SIDE, SIDE)), corner_mask((SIDE, SIDE))):
        found = share(segments=QUARTERS, weights=[(k, 1.0) for k in range(4)], mask=mask)
        assert found.positive == found.absolute == pytest.approx(found.area)


def test_without_weight_there_is_no_share():
    found = share(segments=QUARTERS, weights=[(0, -1.0), (1, 0.0)], mask=border_mask((SIDE, SIDE)))
    assert found.positive is None
    assert found.absolute is not None
    assert share(segments=QUARTERS, weights=[], mask=border_mask((SIDE, SIDE))).absolute is None


def test_places_of_a_scan_and_of_a_picture_without_background():
    picture = np.full((SIDE, SIDE, 1), 5, np.uint8)
    picture[:, :10] = 5
    picture[5:15, 5:15] = 200
    weights = [(0, 1.0), (1, 0.0), (2, 0.0), (3, 0.0)]
    found = measure_places(picture_uint8=picture, segments=QUARTERS, weights=weights, label=1)
    assert found.label == 1
    assert found.outside is not None
    assert found.outside.area == pytest.approx(0.75, abs=0.08)
    assert found.outside.positive == pytest.approx(found.outside.area, abs=0.01)
    flat = measure_places(picture_uint8=np.zeros_like(picture), segments=QUARTERS, weights=weights, label=1)
    assert flat.outside is None
    assert "no contrast" in flat.reason
