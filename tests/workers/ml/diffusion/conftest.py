"""Networks trained once for all tests of sampling."""

import pytest

from tests.workers.ml.diffusion.tiny import new_state, train
from workers.ml.diffusion.training import Denoiser, denoiser_of


@pytest.fixture(scope="session")
def trained() -> Denoiser:
    state = new_state()
    list(train(state, 300))
    return denoiser_of(state)


@pytest.fixture(scope="session")
def trained_epsilon() -> Denoiser:
    state = new_state(prediction="epsilon")
    list(train(state, 300, prediction="epsilon"))
    return denoiser_of(state)
