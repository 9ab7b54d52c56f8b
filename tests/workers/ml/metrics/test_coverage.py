"""A small piece of `python -m benchmarks statistics`; docs/science/statistics.md has the whole, and where it is less good."""

from benchmarks.statistics import Setting, simulate


def test_intervals_cover_within_two_points_and_tests_keep_their_level_where_percentiles_do_not_cover():
    setting = Setting(patients=50, most_images=10, alike=0.6, classes=4, accuracy=0.85)
    found = simulate(setting, repeats=300, seed=0)
    assert 93 <= found["score"] <= 97
    assert found["percentile"] < 93  # so the check can fail
    assert max(found["paired_bootstrap"], found["mcnemar_by_group"], found["delong_difference"]) <= 7
    assert found["mcnemar_exact"] > 7  # which takes the images of a patient as independent
