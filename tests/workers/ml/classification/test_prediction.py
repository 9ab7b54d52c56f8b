import numpy as np
import pytest
import torch

from tests.workers.ml.classification.corner_marks import CLASSES, draw, new_state, training_arguments
from workers.ml.checkpoints import export_network
from workers.ml.classification.prediction import (
    enlarge,
    export_classifier,
    load_classifier,
    normalise,
    predict,
    predict_with,
    to_device,
)
from workers.ml.classification.training import train_classifier


@pytest.fixture(scope="module")
def trained():
    state = new_state()
    for _ in train_classifier(state=state, **training_arguments(num_epochs=2)):
        pass
    return state


def export(state, path, **changes):
    arguments = {"classes": CLASSES, "input_size": 64, "image_size": 32, "metadata": {"job": 7}}
    return export_classifier(path, built=state.built, tensors=state.best_tensors, **{**arguments, **changes})


class TestExport:
    def test_the_loaded_classifier_predicts_what_the_trained_network_does(self, trained, tmp_path):
        export(trained, tmp_path / "c.safetensors")
        loaded = load_classifier(tmp_path / "c.safetensors", device="cpu")
        images, _ = draw(per_class=4, seed=5)
        network = trained.built.network
        network.load_state_dict(trained.best_tensors)
        expected = predict_with(
            network=network.eval(), images_uint8=images, channels=1, input_size=64, mean=trained.built.mean,
            std=trained.built.std, batch_size=12, device="cpu",
        )  # fmt: skip
        np.testing.assert_array_equal(
            predict(classifier=loaded, images_uint8=images, batch_size=12, device="cpu"), expected
        )

    def test_the_file_carries_all_that_is_needed(self, trained, tmp_path):
        export(trained, tmp_path / "c.safetensors")
        loaded = load_classifier(tmp_path / "c.safetensors", device="cpu")
        assert (loaded.architecture, loaded.classes) == ("test_efficientnet", CLASSES)
        assert (loaded.channels, loaded.input_size, loaded.image_size) == (1, 64, 32)
        assert (loaded.mean, loaded.std) == (trained.built.mean, trained.built.std)
        assert loaded.metadata["job"] == 7
        assert loaded.metadata["weights"] == "random weights"

    def test_the_same_weights_give_the_same_bytes(self, trained, tmp_path):
        first, second = (export(trained, tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
        assert first == second
        assert first != export(trained, tmp_path / "c.safetensors", metadata={"job": 8})

    def test_class_names_must_be_as_many_as_classes(self, trained, tmp_path):
        with pytest.raises(ValueError, match="2 class names do not fit a network of 3 classes"):
            export(trained, tmp_path / "c.safetensors", classes=("a", "b"))

    def test_another_network_is_refused(self, tmp_path):
        export_network(tmp_path / "d.safetensors", {"w": torch.zeros(1)}, {"kind": "denoiser"})
        with pytest.raises(ValueError, match="holds a denoiser, not a classifier"):
            load_classifier(tmp_path / "d.safetensors", device="cpu")


class TestPredict:
    @pytest.fixture
    def loaded(self, trained, tmp_path):
        export(trained, tmp_path / "c.safetensors")
        return load_classifier(tmp_path / "c.safetensors", device="cpu")

    def test_rows_are_probabilities(self, loaded):
        probabilities = predict(
            classifier=loaded, images_uint8=draw(per_class=3, seed=5)[0], batch_size=4, device="cpu"
        )
        assert probabilities.shape == (9, 3)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)

    def test_the_batch_size_does_not_matter(self, loaded):
        images, _ = draw(per_class=5, seed=5)
        rows = [predict(classifier=loaded, images_uint8=images, batch_size=size, device="cpu") for size in (1, 4, 15)]
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
        np.testing.assert_allclose(rows[0], rows[2], atol=1e-6)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (np.zeros((2, 32, 32, 3), dtype=np.uint8), "have 3 channels, the classifier was trained on 1"),
            (np.zeros((0, 32, 32, 1), dtype=np.uint8), "no images"),
            (np.zeros((2, 32, 32, 1)), "float64"),
        ],
    )
    def test_images_that_do_not_fit_are_refused(self, loaded, images, message):
        with pytest.raises(ValueError, match=message):
            predict(classifier=loaded, images_uint8=images, batch_size=2, device="cpu")


class TestPreparation:
    def test_enlarging_keeps_a_constant_and_its_range(self):
        images = np.full((1, 8, 6, 3), 51, dtype=np.uint8)
        assert torch.allclose(enlarge(to_device(images, device="cpu"), input_size=16), torch.tensor(0.2))

    def test_shrinking_averages_instead_of_skipping(self):
        stripes = np.zeros((1, 32, 32, 1), dtype=np.uint8)
        stripes[:, :, ::2] = 255
        small = enlarge(to_device(stripes, device="cpu"), input_size=8)
        assert torch.allclose(small[..., 2:-2], torch.tensor(0.5), atol=0.02)

    def test_grey_becomes_three_equal_channels_before_they_are_normalised(self):
        inputs = normalise(torch.full((1, 1, 2, 2), 0.5), mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.25))
        assert inputs[0, :, 0, 0].tolist() == [0.0, 0.5, 2.0]
