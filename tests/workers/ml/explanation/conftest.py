import pytest

from tests.workers.ml.classification.corner_marks import CLASSES, new_state, training_arguments
from workers.ml.classification.prediction import LoadedClassifier, export_classifier, load_classifier
from workers.ml.classification.training import train_classifier


@pytest.fixture(scope="session")
def corner_classifier(tmp_path_factory) -> LoadedClassifier:
    """A network that has learned to tell in which corner the bright square stands, on grey images."""
    state = new_state()
    for _ in train_classifier(state=state, **training_arguments(per_class=40, num_epochs=8)):
        pass
    assert state.best is not None
    assert state.best.val_balanced_accuracy == 1.0
    path = tmp_path_factory.mktemp("classifier") / "c.safetensors"
    export_classifier(
        path, built=state.built, tensors=state.best_tensors, classes=CLASSES, input_size=64, image_size=32, metadata={}
    )
    return load_classifier(path, device="cpu")


@pytest.fixture(scope="session")
def rgb_classifier(tmp_path_factory) -> LoadedClassifier:
    """A network of RGB images with random weights."""
    state = new_state(channels=3)
    path = tmp_path_factory.mktemp("classifier") / "c.safetensors"
    export_classifier(
        path, built=state.built, tensors=state.built.network.state_dict(), classes=CLASSES, input_size=48,
        image_size=48, metadata={},
    )  # fmt: skip
    return load_classifier(path, device="cpu")
