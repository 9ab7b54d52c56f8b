import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from workers.ml.fidelity import ms_ssim as module
from workers.ml.fidelity.intervals import influence_variance
from workers.ml.fidelity.ms_ssim import WEIGHTS, draw_pairs, mean_estimate, ms_ssim, num_scales


def textures(num: int, side: int, *, channels: int = 1, seed: int = 0):
    noise = np.random.default_rng(seed).normal(size=(num, side, side, channels))
    return np.clip(128 + 150 * gaussian_filter(noise, (0, 2, 2, 0)), 0, 255).astype(np.uint8)


def of_pair(one, other) -> float:
    return float(ms_ssim(images_uint8=np.stack([one, other]), pairs=np.array([[0, 1]]))[0])


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (21, 1), (22, 2), (32, 2), (64, 3), (128, 4), (175, 4), (176, 5), (512, 5)]
)
def test_as_many_scales_as_the_window_fits_into(side: int, scales: int):
    assert num_scales(height=side, width=2 * side) == scales


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match="10 x 64 px are smaller than the window"):
        num_scales(height=10, width=64)


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_images_score_one(channels: int):
    image = textures(1, 45, channels=channels)[0]
    assert of_pair(image, image) == pytest.approx(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_with_one_scale_it_is_scikit_images_ssim(channels: int):
    one, other = textures(2, 20, channels=channels)
    mixed = (one // 2 + other // 2).astype(np.uint8)
    pad = 5  # scikit-image leaves the border out of its mean as well
    _, full = structural_similarity(
        one,
        mixed,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
        full=True,
    )
    assert of_pair(one, mixed) == pytest.approx(full[pad:-pad, pad:-pad].mean(), abs=1e-10)


@pytest.mark.parametrize(("side", "scales"), [(16, 1), (32, 2), (64, 3)])
def test_of_even_images_it_is_luminance_at_the_coarsest_scale(side: int, scales: int):
    # Without structure all contrast terms are 1; luminance is (2 a b + C1) / (a^2 + b^2 + C1), C1 = 2.55^2.
    one, other = (np.full((side, side, 1), level, dtype=np.uint8) for level in (60, 180))
    luminance = (2 * 60 * 180 + 2.55**2) / (60**2 + 180**2 + 2.55**2)
    assert of_pair(one, other) == pytest.approx(luminance ** (WEIGHTS[scales - 1] / sum(WEIGHTS[:scales])))


def test_negatives_of_each_other_score_zero():
    image = textures(1, 32)[0]
    assert of_pair(image, 255 - image) == 0


def test_neither_chunks_nor_the_order_of_a_pair_change_it(monkeypatch):
    images, pairs = textures(6, 33, channels=3), np.array([[0, 1], [2, 5], [4, 3]])
    before = ms_ssim(images_uint8=images, pairs=pairs)
    monkeypatch.setattr(module, "CHUNK_VALUES", 1)
    assert ms_ssim(images_uint8=images, pairs=pairs[:, ::-1]) == pytest.approx(before)


class TestPairs:
    @pytest.mark.parametrize(
        ("num", "asked", "given"), [(2, 5, 1), (5, 100, 10), (6, 100, 15), (40, 100, 100), (1, 5, 0), (7, 3, 3)]
    )
    def test_are_distinct_and_no_more_than_there_are(self, num: int, asked: int, given: int):
        pairs = draw_pairs(labels=np.full(num, 3), num_pairs=asked, seed=0)
        assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs) == given
        assert all(one != other for one, other in pairs)

    def test_are_of_one_class_and_use_each_image_about_equally(self):
        labels = np.arange(60) % 3
        pairs = draw_pairs(labels=labels, num_pairs=50, seed=0)
        assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).all()
        assert np.bincount(labels[pairs[:, 0]]).tolist() == [50, 50, 50]
        uses = np.bincount(pairs.ravel())
        assert uses.max() - uses.min() <= 2

    def test_depend_on_the_seed_alone(self):
        one, again, other = (draw_pairs(labels=np.zeros(30), num_pairs=20, seed=seed) for seed in (0, 0, 1))
        assert (one == again).all()
        assert (one != other).any()


def estimate(values, pairs, *, groups=None, num_images: int):
    return mean_estimate(values=values, pairs=pairs, num_images=num_images, groups=groups)


def test_the_error_of_a_mean_over_all_pairs_is_that_of_the_images():
    # The value of a pair is the sum of its images' own values: the mean is twice theirs.
    own = np.random.default_rng(0).normal(0, 1, 40)
    pairs = draw_pairs(labels=np.zeros(40), num_pairs=1000, seed=0)
    found = estimate(own[pairs].sum(axis=1), pairs, num_images=40)
    assert found.value == pytest.approx(2 * own.mean())
    assert found.standard_error**2 == pytest.approx(influence_variance(influences=2 * own, groups=None), rel=0.1)


def test_images_without_a_pair_do_not_count():
    values, pairs = np.array([0.2, 0.4, 0.9]), np.array([[10, 11], [11, 12], [12, 10]])
    assert estimate(values, pairs, num_images=99) == pytest.approx(estimate(values, pairs - 10, num_images=3))
