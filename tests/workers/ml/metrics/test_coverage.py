"""A small piece of `python -m benchmarks statistics`; docs/science/statistics.md has the whole."""

from benchmarks.statistics import Setting, simulate


def test_intervals_cover_and_tests_keep_their_level_on_a_few_draws_of_patients():
    setting = Setting(patients=60, most_images=5, alike=0.6, classes=2, accuracy=0.9)
    found = simulate(setting, repeats=40, seed=3)
    assert found["score"] >= 90
    assert max(found["paired_bootstrap"], found["mcnemar_by_group"], found["delong_difference"]) <= 12
