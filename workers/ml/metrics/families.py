"""Several tests at once: p-values that hold for the whole family."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the given order (Holm 1979): all that stay below alpha are false together with probability alpha at most.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none is below the one before, or above 1. None is no
    test: it stays None and does not count. Raises ValueError for what is no probability.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    if wrong := [p for p, _ in known if not 0 <= p <= 1]:
        raise ValueError(f"{wrong[0]} is no p-value; give numbers from 0 to 1, or None.")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min((len(known) - rank) * p, 1.0))
        adjusted[place] = largest
    return adjusted
