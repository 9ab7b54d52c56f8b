"""Features to try things on, and what the reference packages make of them.

torch-fidelity imports torchvision, which beside a CPU build of torch needs the mend that `workers.ml` puts in place.
"""

import numpy as np
from numpy.typing import NDArray

import workers.ml  # noqa: F401

Floats = NDArray[np.floating]


def features(num: int, dimensions: int, *, seed: int) -> NDArray[np.float32]:
    """(num, dimensions), skew, none below 0 and of falling spread, as those of a network are."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.2, 1 / np.sqrt(np.arange(1, dimensions + 1)), (num, dimensions))
    return np.maximum(values, 0).astype(np.float32)


def torch_fidelity_fid(real: Floats, fake: Floats) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(_double(each)) for each in (real, fake)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])


def torch_fidelity_kid(
    real: Floats, fake: Floats, *, num_subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Mean and deviation over subsets drawn by a RandomState of this seed, real first."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    found = kid_features_to_metric(
        _double(real), _double(fake), kid_subsets=num_subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def torch_fidelity_precision_recall(real: Floats, fake: Floats) -> tuple[float, float]:
    from torch_fidelity.metric_prc import prc_features_to_metric

    found = prc_features_to_metric(
        _double(fake), _double(real), prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    return found["precision"], found["recall"]


def _double(values: Floats):
    import torch

    return torch.from_numpy(values.astype(np.float64))
