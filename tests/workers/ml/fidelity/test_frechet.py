import numpy as np
import pytest

from tests.workers.ml.fidelity.references import features, torch_fidelity_fid
from workers.ml.fidelity.frechet import frechet_distance


def fid(real, fake):
    return frechet_distance(real=real, fake=fake, real_groups=None, fake_groups=None).value


def exact(num: int, mean, covariance, *, seed: int):
    """(num, D) values whose sample mean and covariance are exactly these."""
    raw = np.random.default_rng(seed).normal(size=(num, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(np.asarray(covariance)).T + np.asarray(mean)


def test_equals_the_closed_form_for_isotropic_gaussians():
    # d^2 = D * ((m1 - m2)^2 + (s1 - s2)^2) = 4 * (1 + 0.25)
    real, fake = exact(40, [0] * 4, np.eye(4), seed=0), exact(60, [1] * 4, 2.25 * np.eye(4), seed=1)
    assert fid(real, fake) == pytest.approx(5.0, abs=1e-9)


def test_equals_the_closed_form_where_covariances_do_not_commute():
    # A = diag(4, 1), B = [[2, 1], [1, 2]]: det AB = 12, tr AB = 10, so Tr sqrt(AB) = sqrt(10 + 2 sqrt(12)).
    real, fake = exact(40, [0, 0], np.diag([4.0, 1.0]), seed=0), exact(40, [0, 0], [[2, 1], [1, 2]], seed=1)
    assert fid(real, fake) == pytest.approx(9 - 2 * np.sqrt(10 + 2 * np.sqrt(12)), abs=1e-9)


@pytest.mark.parametrize(("num_real", "num_fake", "dimensions"), [(300, 200, 32), (300, 300, 128), (60, 90, 128)])
def test_equals_torch_fidelity(num_real: int, num_fake: int, dimensions: int):
    real, fake = features(num_real, dimensions, seed=0), 1.2 * features(num_fake, dimensions, seed=1)
    assert fid(real, fake) == pytest.approx(torch_fidelity_fid(real, fake), rel=1e-4)


@pytest.mark.parametrize("num", [2, 40, 200])
def test_identical_sets_are_at_distance_zero_with_fewer_images_than_dimensions_too(num: int):
    real = 10 * features(num, 64, seed=0)
    assert fid(real, real) == pytest.approx(0, abs=1e-6)


def test_a_direction_without_any_spread_does_no_harm():
    real, fake = features(50, 8, seed=0), features(50, 8, seed=1)
    real[:, 3] = fake[:, 3] = 1
    assert fid(real, fake) == pytest.approx(fid(np.delete(real, 3, axis=1), np.delete(fake, 3, axis=1)))


def test_the_order_of_images_and_of_sides_does_not_matter():
    real, fake = features(50, 70, seed=0), features(40, 70, seed=1)
    value = fid(real, fake)
    assert fid(real[::-1], np.roll(fake, 3, axis=0)) == pytest.approx(value, rel=1e-9)
    assert fid(fake, real) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("dimensions", [5, 90])
def test_the_error_agrees_with_leaving_out_one_image_at_a_time(dimensions: int):
    real, fake = features(60, dimensions, seed=0), features(60, dimensions, seed=1) + 0.3
    error = frechet_distance(real=real, fake=fake, real_groups=None, fake_groups=None).standard_error
    without = [
        [fid(np.delete(real, i, axis=0), fake) for i in range(60)],
        [fid(real, np.delete(fake, i, axis=0)) for i in range(60)],
    ]
    jackknife = np.sqrt(59 / 60 * sum(np.square(side - np.mean(side)).sum() for side in without))
    assert error == pytest.approx(jackknife, rel=0.1)


def test_groups_of_copies_do_not_make_the_figure_surer():
    real, fake = features(80, 6, seed=0), features(80, 6, seed=1) + 0.2
    single = frechet_distance(real=real, fake=fake, real_groups=None, fake_groups=None).standard_error
    groups = np.repeat(np.arange(80), 4)
    doubled = frechet_distance(
        real=np.repeat(real, 4, axis=0), fake=np.repeat(fake, 4, axis=0), real_groups=groups, fake_groups=groups
    )
    assert doubled.standard_error == pytest.approx(single, rel=0.05)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 5)), "with one network"),
        (np.ones((3, 4)), np.ones((1, 4)), "3 and 1 images are too few"),
        (np.ones((3, 4)), np.full((3, 4), np.nan), "not finite"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(real, fake, message: str):
    with pytest.raises(ValueError, match=message):
        fid(real, fake)
