import numpy as np
import pytest

from tests.workers.ml.fidelity.references import features, torch_fidelity_kid
from workers.ml.fidelity import kernel
from workers.ml.fidelity.kernel import draw_subsets, kernel_distance, subset_kernel_distance


def kid(real, fake):
    return kernel_distance(real=real, fake=fake, real_groups=None, fake_groups=None).value


def test_equals_a_value_computed_by_hand():
    # k(x, y) = (x y + 1)^3. Within {0, 1}: 1; within {1, 2}: 27; across: 1, 1, 8, 27, on average 9.25.
    assert kid(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])) == pytest.approx(1 + 27 - 2 * 9.25)


def test_equals_torch_fidelity_over_all_images():
    real, fake = features(150, 96, seed=0), 1.3 * features(150, 96, seed=1)
    whole, _ = torch_fidelity_kid(real, fake, num_subsets=1, subset_size=150, seed=0)
    assert kid(real, fake) == pytest.approx(whole, rel=1e-4)


def test_equals_torch_fidelity_over_the_same_subsets():
    real, fake = features(150, 96, seed=0), features(110, 96, seed=1) + 0.1
    theirs = torch_fidelity_kid(real, fake, num_subsets=20, subset_size=40, seed=7)
    rng = np.random.RandomState(7)
    drawn = [(rng.choice(150, 40, replace=False), rng.choice(110, 40, replace=False)) for _ in range(20)]
    ours = subset_kernel_distance(real=real, fake=fake, subsets=drawn)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_of_two_samples_of_one_source_is_zero_on_average():
    values = [kid(features(30, 8, seed=2 * i), features(50, 8, seed=2 * i + 1)) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_identical_sets_come_out_below_zero_since_an_image_is_not_compared_with_itself():
    real = features(30, 8, seed=0)
    assert -0.2 < kid(real, real) < 0


def test_neither_chunks_nor_order_change_it(monkeypatch):
    real, fake = features(50, 20, seed=0), features(40, 20, seed=1)
    before = kernel_distance(real=real, fake=fake, real_groups=None, fake_groups=None)
    monkeypatch.setattr(kernel, "CHUNK_VALUES", 100)
    after = kernel_distance(real=real[::-1], fake=np.roll(fake, 3, axis=0), real_groups=None, fake_groups=None)
    assert after == pytest.approx(before, rel=1e-9)


def test_subsets_depend_on_the_seed_alone():
    drawn = [
        list(draw_subsets(num_real=30, num_fake=20, subset_size=10, num_subsets=3, seed=seed)) for seed in (1, 1, 2)
    ]
    flat = [np.concatenate([np.concatenate(pair) for pair in each]) for each in drawn]
    assert (flat[0] == flat[1]).all()
    assert (flat[0] != flat[2]).any()
    assert all(len(set(real)) == len(set(fake)) == 10 and fake.max() < 20 for real, fake in drawn[0])


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="too few"):
        kid(np.ones((5, 2)), np.ones((1, 2)))
