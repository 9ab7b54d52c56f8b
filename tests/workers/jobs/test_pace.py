"""Speed over the last seconds, and the share of time that niceties may take."""

import pytest

from workers.jobs import pace
from workers.jobs.pace import Allowance, Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which the test sets."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_speed_is_that_of_the_last_ten_seconds(clock: list[float]) -> None:
    speed = Pace(0)
    for second in range(1, 31):
        clock[0] = second
        rate = speed.tick(second * 5 if second <= 15 else 75 + (second - 15) * 2)  # 5 a second, then 2
    assert rate == pytest.approx(2)


def test_what_was_done_before_a_resume_does_not_count(clock: list[float]) -> None:
    speed = Pace(1000)
    clock[0] = 2
    assert speed.tick(1010) == pytest.approx(5)


def test_a_second_of_drawing_must_be_earned_by_nine_of_training(clock: list[float]) -> None:
    allowance = Allowance()
    assert allowance.is_affordable
    with allowance:
        clock[0] = 1
    clock[0] = 9.9
    assert not allowance.is_affordable
    clock[0] = 10.1
    assert allowance.is_affordable
