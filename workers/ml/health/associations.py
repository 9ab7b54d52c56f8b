"""How far one property of the files (size, mode, format) gives the class away."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

OTHER = "other"


class Association(NamedTuple):
    """values: the commonest first; shares: (V, K) of each class's images that have the value.

    accuracy: balanced accuracy of whoever knows only the value and guesses the class in which it is commonest; skill: that
    accuracy between chance (0) and certainty (1); p_value: of the chi-squared test of independence.
    """

    values: list[str]
    shares: NDArray[np.float64]
    accuracy: float
    skill: float
    p_value: float


def association(
    *, values: Sequence[str], labels: NDArray[np.int64], num_classes: int, most_values: int
) -> Association | None:
    """None where all N images have one value. The rarest values beyond `most_values` count as one.

    values: (N,); labels: (N,) in [0, num_classes). Classes without images are left out of the accuracy.
    """
    common = [value for value, _ in Counter(values).most_common()]
    kept = common if len(common) <= most_values else [*common[: most_values - 1], OTHER]
    if len(kept) < 2:
        return None
    place = {value: min(index, len(kept) - 1) for index, value in enumerate(common)}
    table = np.zeros((len(kept), num_classes))
    np.add.at(table, (np.array([place[value] for value in values]), labels), 1)
    present = table.sum(axis=0) > 0
    shares = table / np.maximum(table.sum(axis=0), 1)
    number = int(present.sum())
    if number < 2:
        return None
    accuracy = float(shares.max(axis=1).sum() / number)
    skill = (accuracy - 1 / number) / (1 - 1 / number)
    return Association(kept, shares, accuracy, skill, float(chi2_contingency(table[:, present]).pvalue))
