"""What an audit costs beside its networks: comparing features and searching for copies, in seconds of one core."""

from dataclasses import dataclass

# Of an audit, in seconds of one core of a 2020s server, measured with features of 1,280 dimensions and 64 px images:
# compare() of 250, 1,000 and 2,000 images a side took 0.4, 2.0 and 6.4 s; a search by pixels 1.5 ms an image at 32 px,
# 2.9 at 64 px and 6.1 in colour, a quarter more with mirrors; by features 0.85 us a pair; 500 pairs of MS-SSIM 0.2 s.
COMPARISON_S, COMPARED_PAIR_S = 0.5, 1.5e-6
SEARCHED_S, SEARCHED_PIXELS_S, SEARCHED_PAIR_S = 1e-3, 2e-3, 2e-7
MIRRORED = 1.25
FEATURE_PAIR_S = 8.5e-7
SIMILAR_PAIR_S = 4e-4  # of one channel at 64 px


@dataclass(frozen=True)
class AuditSize:
    """Images of each side: all, which are searched, and `some`, which are compared; planted: copies that are searched for."""

    synthetic: int
    train: int
    held_out: int
    most: int
    planted: int
    side: int
    channels: int
    num_classes: int
    num_extractors: int
    num_similar: int
    has_mirrors: bool

    @property
    def some(self) -> tuple[int, int, int]:
        """(synthetic, train, held_out), at most `most` each."""
        return min(self.synthetic, self.most), min(self.train, self.most), min(self.held_out, self.most)


def audit_core_s(size: AuditSize) -> float:
    """Seconds of one core that an audit takes beside its networks."""
    return (
        size.num_extractors * (_comparing_s(size) + _searching_features_s(size)) + _searching_s(size) + _similar_s(size)
    )


def _comparing_s(size: AuditSize) -> float:
    """The set, the floor and the set at the floor's size against the training images; as a whole, and class by class."""
    synthetic, train, held_out = size.some
    others = (synthetic, held_out, min(synthetic, held_out))
    pairs = sum((train**2 + other**2 + train * other) / 3 for other in others)
    classes = max(size.num_classes, 1)
    return len(others) * (1 + classes) * COMPARISON_S + pairs * (1 + 1 / classes) * COMPARED_PAIR_S


def _searching_features_s(size: AuditSize) -> float:
    return (size.synthetic + size.train + size.held_out) * size.train * FEATURE_PAIR_S


def _searching_s(size: AuditSize) -> float:
    """By pixels; images of more than 64 px are searched at 64 px."""
    area = (min(size.side, 64) / 64) ** 2 * size.channels
    each = SEARCHED_S + SEARCHED_PIXELS_S * area + SEARCHED_PAIR_S * size.train
    images = size.synthetic + size.train + size.held_out + size.planted
    return images * each * (MIRRORED if size.has_mirrors else 1)


def _similar_s(size: AuditSize) -> float:
    return 3 * size.num_classes * size.num_similar * SIMILAR_PAIR_S * (size.side / 64) ** 2 * size.channels
