"""What networks cost: multiply-adds, parameters and activations, counted from their options alone.

The web process must not import torch, so diffusers' UNet and the usual CNNs are counted here by hand;
tests hold the counts against the real networks.
"""

from dataclasses import dataclass

from models.specs import TrainDiffusionSpec

ADAM_EMA_BYTES = 20  # per parameter: weight, gradient, two moments, averaged weight, 4 bytes each


@dataclass(frozen=True)
class Cost:
    """Of one image through a network: multiply-adds of the forward pass, values kept for the backward pass."""

    parameters: int
    macs: float
    activations: float


@dataclass
class _Count:
    parameters: float = 0
    macs: float = 0
    activations: float = 0

    def conv(self, inputs: int, outputs: int, side: float, kernel: int = 3) -> None:
        weights = inputs * outputs * kernel**2
        self.parameters += weights + outputs
        self.macs += weights * side**2
        self.activations += outputs * side**2

    def linear(self, inputs: int, outputs: int) -> None:
        self.parameters += inputs * outputs + outputs
        self.macs += inputs * outputs

    def norm(self, channels: int, side: float) -> None:
        self.parameters += 2 * channels
        self.activations += 2 * channels * side**2  # the norm's output and that of the SiLU behind it

    def resnet(self, inputs: int, outputs: int, side: float, embedding: int) -> None:
        self.norm(inputs, side)
        self.conv(inputs, outputs, side)
        self.linear(embedding, 2 * outputs)
        self.norm(outputs, side)
        self.conv(outputs, outputs, side)
        if inputs != outputs:
            self.conv(inputs, outputs, side, kernel=1)

    def attention(self, channels: int, side: float) -> None:
        tokens = side**2
        self.norm(channels, side)
        self.parameters += 4 * (channels**2 + channels)
        self.macs += tokens * 4 * channels**2 + 2 * tokens**2 * channels
        self.activations += 5 * tokens * channels


def unet(spec: TrainDiffusionSpec, *, channels: int, num_classes: int) -> Cost:
    """The network of workers/ml/networks.py for these options."""
    count = _Count()
    widths, stem = spec.block_channels, spec.stem_channels
    embedding = 4 * widths[0]
    inside = (stem or channels) * spec.patch_size**2
    side = spec.image_size / spec.patch_size
    if stem:
        _stem(count, stem, channels, spec.image_size, embedding)
    count.conv(inside, widths[0], side)
    count.linear(widths[0], embedding)
    count.linear(embedding, embedding)
    count.parameters += (num_classes + 1) * embedding
    _down(count, spec, side, embedding)
    lowest = side / 2 ** (len(widths) - 1)
    count.resnet(widths[-1], widths[-1], lowest, embedding)
    if len(widths) - 1 in spec.attention_levels:
        count.attention(widths[-1], lowest)
    count.resnet(widths[-1], widths[-1], lowest, embedding)
    _up(count, spec, lowest, embedding)
    count.norm(widths[0], side)
    count.conv(widths[0], inside, side)
    return Cost(round(count.parameters), count.macs, count.activations)


def _stem(count: _Count, stem: int, channels: int, side: int, embedding: int) -> None:
    count.conv(channels, stem, side)
    count.resnet(stem, stem, side, embedding)
    count.resnet(2 * stem, stem, side, embedding)
    count.norm(stem, side)
    count.conv(stem, channels, side)


def _down(count: _Count, spec: TrainDiffusionSpec, side: float, embedding: int) -> None:
    before = spec.block_channels[0]
    for level, width in enumerate(spec.block_channels):
        for layer in range(spec.layers_per_block):
            count.resnet(before if layer == 0 else width, width, side, embedding)
            if level in spec.attention_levels:
                count.attention(width, side)
        before = width
        if level < len(spec.block_channels) - 1:
            side /= 2
            count.conv(width, width, side)


def _up(count: _Count, spec: TrainDiffusionSpec, side: float, embedding: int) -> None:
    widths = spec.block_channels
    before = widths[-1]
    for level in reversed(range(len(widths))):
        width, below = widths[level], widths[max(level - 1, 0)]
        for layer in range(spec.layers_per_block + 1):
            skip = below if layer == spec.layers_per_block else width
            count.resnet((before if layer == 0 else width) + skip, width, side, embedding)
            if level in spec.attention_levels:
                count.attention(width, side)
        before = width
        if level:
            side *= 2
            count.conv(width, width, side)


# timm name: (million parameters, giga multiply-adds, million activations of an image, at this side)
_CNNS = {
    "vgg16": (138.4, 15.47, 13.6, 224),
    "vgg19": (143.7, 19.63, 14.9, 224),
    "resnet18": (11.7, 1.82, 2.5, 224),
    "resnet34": (21.8, 3.67, 3.7, 224),
    "resnet50": (25.6, 4.11, 11.1, 224),
    "resnet101": (44.5, 7.83, 16.2, 224),
    "densenet121": (8.0, 2.87, 6.9, 224),
    "densenet201": (20.0, 4.34, 7.9, 224),
    "inception_v3": (23.8, 5.73, 9.0, 299),
    "inception_resnet_v2": (55.8, 13.18, 25.1, 299),
    "mobilenetv2_100": (3.5, 0.31, 6.7, 224),
    "efficientnet_b0": (5.3, 0.40, 6.7, 224),
    "tf_efficientnet_lite0": (4.7, 0.40, 6.7, 224),
    "tf_efficientnet_lite1": (5.4, 0.62, 10.1, 240),
    "tf_efficientnet_lite2": (6.1, 0.89, 12.9, 260),
}
UNKNOWN_CNN = (25.0, 4.0, 11.0, 224)
# A CNN of many small convolutions reaches a smaller share of the machine's speed than its multiply-adds say.
_LIGHT = ("mobilenet", "efficientnet", "tf_efficientnet", "mnasnet")


def is_known_cnn(architecture: str) -> bool:
    return _base_name(architecture) in _CNNS


def cnn(architecture: str, *, input_size: int) -> Cost:
    """A timm architecture at `input_size` pixels; one that is not in the table counts as a ResNet-50."""
    millions, giga, activations, side = _CNNS.get(_base_name(architecture), UNKNOWN_CNN)
    area = (input_size / side) ** 2
    return Cost(round(millions * 1e6), giga * 1e9 * area, activations * 1e6 * area)


def cnn_slowdown(architecture: str) -> float:
    """How many times slower than its multiply-adds say: depthwise convolutions are bound by memory."""
    return 2.5 if architecture.startswith(_LIGHT) else 1.0


def _base_name(architecture: str) -> str:
    return architecture.partition(".")[0]
