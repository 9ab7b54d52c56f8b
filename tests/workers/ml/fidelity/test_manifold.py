import numpy as np
import prdc
import pytest

from tests.workers.ml.fidelity.references import features, torch_fidelity_precision_recall
from workers.ml.fidelity import manifold as module
from workers.ml.fidelity.intervals import count_interval, share_interval
from workers.ml.fidelity.manifold import Manifold, manifold, manifold_estimates, squared_distances


def figures(real, fake, *, k_precision: int = 3, k_density: int = 5) -> Manifold:
    return manifold(
        distances=squared_distances(real=np.asarray(real), fake=np.asarray(fake)),
        k_precision=k_precision, k_density=k_density,
    )  # fmt: skip


def column(*values: float):
    return np.array(values)[:, None]


def test_equals_values_computed_by_hand():
    # Real balls (k 1): 0 +- 1, 1 +- 1, 4 +- 3. Fake balls: 0.5 +- 1, 1.5 +- 1, 9 +- 7.5.
    # Fakes in balls: 0.5 in two, 1.5 in two, 9 in none. Reals in balls: 0 in one, 1 in two, 4 in one.
    found = figures(column(0, 1, 4), column(0.5, 1.5, 9), k_precision=1, k_density=1)
    assert found == pytest.approx((2 / 3, 1, 4 / 3, 1))


@pytest.mark.parametrize(("num_real", "num_fake", "dimensions"), [(200, 200, 16), (120, 260, 64), (50, 40, 128)])
@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_equals_prdc(num_real: int, num_fake: int, dimensions: int, shift: float):
    real, fake = features(num_real, dimensions, seed=0), 1.1 * features(num_fake, dimensions, seed=1) + shift
    three, five = (prdc.compute_prdc(real, fake, nearest_k=k) for k in (3, 5))
    expected = (three["precision"], three["recall"], five["density"], five["coverage"])
    assert figures(real, fake) == pytest.approx(expected, abs=1e-4)


def test_equals_torch_fidelity():
    real, fake = features(150, 32, seed=0), features(180, 32, seed=1) + 0.1
    assert figures(real, fake)[:2] == pytest.approx(torch_fidelity_precision_recall(real, fake), abs=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_identical_sets_score_one(scale: float):
    real = scale * features(60, 32, seed=0)
    assert figures(real, real) == pytest.approx((1, 1, 1, 1))


def test_identical_sets_with_copies_in_them_still_cover_each_other():
    real = np.repeat(features(10, 32, seed=0), 7, axis=0)
    found = figures(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_sets_far_apart_score_zero():
    assert figures(features(40, 8, seed=0), features(40, 8, seed=1) + 100) == (0, 0, 0, 0)


def test_one_good_image_again_and_again_is_precise_and_covers_little():
    real = features(100, 8, seed=0)
    found = figures(real, real[:1] + 1e-3 * features(100, 8, seed=1))
    assert found.precision == 1
    assert found.recall < 0.1
    assert found.coverage < 0.2


def test_neither_chunks_nor_order_change_them(monkeypatch):
    real, fake = features(60, 16, seed=0), features(50, 16, seed=1)
    before = figures(real, fake)
    monkeypatch.setattr(module, "CHUNK_VALUES", 100)
    assert figures(real[::-1], np.roll(fake, 3, axis=0)) == before


def estimates(real, fake, *, groups=None, num_halves: int = 40, seed: int = 0):
    return manifold_estimates(
        distances=squared_distances(real=real, fake=fake), k_precision=3, k_density=5, real_groups=groups,
        fake_groups=groups, num_halves=num_halves, seed=seed,
    )  # fmt: skip


def test_errors_depend_on_the_seed_alone():
    real, fake = features(60, 16, seed=0), features(60, 16, seed=1) + 0.05
    one, again, other = (estimates(real, fake, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert {name: each.value for name, each in one.items()} == figures(real, fake)._asdict()


def test_the_interval_holds_the_expected_figure():
    rng = np.random.default_rng(0)
    drawn = [estimates(rng.normal(0, 1, (60, 6)), rng.normal(0.3, 1, (60, 6)), num_halves=30) for _ in range(60)]
    for name in Manifold._fields:
        expected = np.mean([each[name].value for each in drawn])
        interval = count_interval if name == "density" else share_interval
        bounds = [interval(estimate=each[name], num_units=60, confidence=0.95) for each in drawn]
        assert np.mean([low <= expected <= high for low, high in bounds]) > 0.88, name


def test_copies_of_a_patient_do_not_make_the_figures_surer():
    real, fake = features(40, 6, seed=0), features(40, 6, seed=1) + 0.1
    groups = np.repeat(np.arange(40), 5)
    noise = 1e-3 * features(200, 6, seed=2)
    torn = estimates(np.repeat(real, 5, axis=0) + noise, np.repeat(fake, 5, axis=0) + noise)
    whole = estimates(np.repeat(real, 5, axis=0) + noise, np.repeat(fake, 5, axis=0) + noise, groups=groups)
    assert whole["density"].standard_error > torn["density"].standard_error


def test_too_few_images_for_halves_give_no_error():
    found = estimates(features(9, 4, seed=0), features(9, 4, seed=1))
    assert all(np.isnan(each.standard_error) and each.value >= 0 for each in found.values())


def test_fewer_images_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="5 and 9 images have no 5 neighbours"):
        figures(features(5, 4, seed=0), features(9, 4, seed=1))
