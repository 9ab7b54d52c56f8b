"""Long computations have a pulse: they can be counted and stopped from outside, between two blocks."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.fidelity.frechet import frechet_distance
from workers.ml.fidelity.kernel import draw_subsets, subset_kernel_distance
from workers.ml.fidelity.manifold import manifold_estimates, squared_distances
from workers.ml.fidelity.ms_ssim import draw_pairs, ms_ssim
from workers.ml.privacy.embeddings import nearest_in_embedding
from workers.ml.privacy.pixels import nearest_in_pixels, pixel_gallery
from workers.ml.pulse import listening, pulse

FEATURES = np.random.default_rng(0).normal(size=(20, 4))


def kernels() -> None:
    subsets = draw_subsets(num_real=20, num_fake=20, subset_size=5, num_subsets=3, seed=0)
    subset_kernel_distance(real=FEATURES, fake=FEATURES + 1, subsets=subsets)


def frechet() -> None:
    frechet_distance(real=FEATURES, fake=FEATURES + 1, real_groups=None, fake_groups=None)


def manifolds() -> None:
    manifold_estimates(
        distances=squared_distances(real=FEATURES, fake=FEATURES + 1), k_precision=3, k_density=5, real_groups=None,
        fake_groups=None, num_halves=4, seed=0,
    )  # fmt: skip


def similarity() -> None:
    pairs = draw_pairs(labels=np.zeros(4, dtype=np.int64), num_pairs=3, seed=0)
    ms_ssim(images_uint8=pictures(4, seed=0), pairs=pairs)


def embedding() -> None:
    nearest_in_embedding(train=FEATURES, features={"plain": FEATURES}, clusters=None, own=None)


def search() -> None:
    gallery = pixel_gallery(images_uint8=pictures(3, seed=0), clusters=None)
    nearest_in_pixels(gallery=gallery, images_uint8=pictures(130, seed=1), mirrors=(), own=None)


@pytest.mark.parametrize("compute", [kernels, frechet, manifolds, similarity, embedding, search])
def test_a_long_computation_has_a_pulse_and_ends_with_what_it_raises(compute: Callable[[], None]) -> None:
    heard: list[int] = []
    with listening(heard.append):
        compute()
    assert heard

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        compute()


def test_a_search_counts_its_images_block_by_block() -> None:
    heard: list[int] = []
    with listening(heard.append):
        search()
    assert heard == [128, 2]


def test_without_a_listener_nothing_happens_and_the_outer_one_comes_back() -> None:
    pulse(5)
    outer: list[int] = []
    inner: list[int] = []
    with listening(outer.append):
        with listening(inner.append):
            pulse(1)
        pulse(2)
    assert (outer, inner) == ([2], [1])
