"""Neighbours in an embedding: by angle, plain or mirrored, the same as a plain loop finds."""

import numpy as np
import pytest

from workers.ml.privacy.embeddings import nearest_in_embedding
from workers.ml.privacy.neighbours import KINDS

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(60, 8))
FRESH = RNG.normal(size=(300, 8)).astype(np.float32)


def search(features, *, clusters=None, own=None):
    return nearest_in_embedding(train=TRAIN, features=features, clusters=clusters, own=own)


def test_equals_a_plain_loop():
    found = search({"plain": FRESH})
    for place in (0, 255, 256, 299):
        unit = FRESH[place] / np.linalg.norm(FRESH[place])
        distances = np.linalg.norm(TRAIN / np.linalg.norm(TRAIN, axis=1, keepdims=True) - unit, axis=1)
        assert found.nearest[place] == distances.argmin()
        assert found.distances[place] == pytest.approx(distances.min())
        assert found.views[place, 0] == pytest.approx(np.log(np.sort(distances)[0] / np.sort(distances)[9]))


def test_the_length_of_features_makes_no_difference():
    found = search({"plain": 5 * TRAIN[:4]})
    assert found.nearest.tolist() == [0, 1, 2, 3]
    assert found.similarity == pytest.approx(np.ones(4))


def test_a_mirror_image_is_known_by_its_features():
    found = search({"plain": FRESH[:4], "left_right": TRAIN[:4]})
    assert found.nearest.tolist() == [0, 1, 2, 3]
    assert (found.kind == KINDS.index("left_right")).all()


def test_rows_of_zeros_and_own_clusters_do_not_count():
    features = TRAIN.copy()
    features[0] = 0
    clusters = np.arange(60) // 2
    found = search({"plain": features}, clusters=clusters, own=clusters)
    assert found.is_blank.tolist() == [True] + 59 * [False]
    assert (clusters[found.nearest[1:]] != clusters[1:]).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"left_right": FRESH}, "those of the plain images are needed"),
        ({"plain": FRESH[:, :5]}, "extract both with one network"),
        ({"plain": FRESH, "left_right": FRESH[:3]}, "one \\(N, D\\) for each kind"),
        ({"plain": np.full((3, 8), np.nan)}, "not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        search(features)
