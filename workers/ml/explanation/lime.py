"""LIME (arXiv:1602.04938) for one image: which superpixels speak for and against each class.

Segmentation, kernel and regression are the lime package's own; only the perturbed copies are made here, in batches on
the device. The image is explained at the network's input size, as the network sees it, so `segments` has that shape.
The number of samples is raised to ten for each superpixel found, because below that the weights are mostly noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.ml.classification.prediction import (
    LoadedClassifier,
    check_images,
    enlarge,
    normalise,
    probabilities,
    to_device,
)
from workers.ml.seeding import derive_seed

MIN_SAMPLES_PER_SEGMENT = 10
GREY = 0.5
COMPACTNESS = 30  # below that, noise and texture tear superpixels into threads, and far fewer are found
Segments = NDArray[np.int64]


@dataclass(frozen=True)
class LimeProgress:
    """Perturbed copies judged so far, of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class ClassExplanation:
    """The local linear model of one class.

    weights: (segment, weight) by falling absolute weight, then rising segment; positive speaks for the class.
    intercept: the model's value with everything hidden. score: its weighted R2 on the perturbed copies.
    """

    label: int
    intercept: float
    weights: tuple[tuple[int, float], ...]
    score: float


@dataclass(frozen=True)
class LimeExplanation:
    """segments: (S, S) numbers 0 .. num_segments-1. classes: in the order of labels. probabilities: (K,) of the image.

    num_samples may be above num_samples_requested: see the module.
    """

    segments: Segments
    classes: tuple[ClassExplanation, ...]
    predicted: int
    probabilities: tuple[float, ...]
    num_samples: int
    num_samples_requested: int
    hide: str
    seed: int

    @property
    def num_segments(self) -> int:
        return int(self.segments.max()) + 1


def explain_image(
    *,
    classifier: LoadedClassifier,
    image_uint8: NDArray[np.uint8],
    num_samples: int,
    num_segments: int,
    hide: str,
    batch_size: int,
    seed: int,
    device: str,
) -> Iterator[LimeProgress | LimeExplanation]:
    """Yield a LimeProgress for each batch of perturbed copies, and the LimeExplanation last.

    image_uint8: (H, W, C) with the classifier's channels. num_samples: perturbed copies, the image itself the first.
    num_segments: superpixels aimed at; SLIC finds about as many. hide: what a hidden superpixel is
    replaced by: "mean" (its own mean colour), "black" or "grey". The same arguments give the same bits on one machine.

    Raises ValueError for another hide, an image that does not fit, or one in which fewer than 2 superpixels are found.
    """
    from lime.lime_image import LimeImageExplainer

    image = prepare_image(classifier=classifier, image_uint8=image_uint8, device=device)  # (C, S, S) in [0, 1]
    segments = segment_image(image_uint8=as_uint8(image), num_segments=num_segments)
    hidden = hide_segments(image=image, segments=segments, hide=hide)
    total = max(num_samples, MIN_SAMPLES_PER_SEGMENT * (int(segments.max()) + 1))
    explainer = LimeImageExplainer(random_state=derive_seed(seed, "lime") % 2**32, feature_selection="none")
    kept = _draw_perturbations(explainer.random_state, total, int(segments.max()) + 1)
    rows = []
    for batch in judge_masks(
        classifier=classifier, image=image, hidden=hidden, segments=segments, kept=kept, batch_size=batch_size
    ):
        rows.append(batch)
        yield LimeProgress(done=sum(map(len, rows)), total=total)
    judged = np.concatenate(rows)  # (num_samples, K)
    yield LimeExplanation(
        segments=segments,
        classes=tuple(_explain_class(explainer.base, kept, judged, label) for label in range(judged.shape[1])),
        predicted=int(judged[0].argmax()),
        probabilities=tuple(judged[0].tolist()),
        num_samples=total,
        num_samples_requested=num_samples,
        hide=hide,
        seed=seed,
    )


def prepare_image(*, classifier: LoadedClassifier, image_uint8: NDArray[np.uint8], device: str) -> Tensor:
    """(H, W, C) uint8 to (C, S, S) float32 in [0, 1] on the device, enlarged exactly as for prediction."""
    check_images(image_uint8[None], channels=classifier.channels)
    return enlarge(to_device(image_uint8[None], device=device), input_size=classifier.input_size)[0]


def as_uint8(image: Tensor) -> NDArray[np.uint8]:
    """(C, S, S) in [0, 1] to (S, S, C) uint8."""
    array: NDArray[np.uint8] = (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return array


def segment_image(*, image_uint8: NDArray[np.uint8], num_segments: int) -> Segments:
    """(S, S) superpixel numbers from 0 without gaps, about num_segments of them, by SLIC; no randomness in it.

    Raises ValueError if fewer than two are found.
    """
    from lime.wrappers.scikit_image import SegmentationAlgorithm

    slic = SegmentationAlgorithm("slic", n_segments=num_segments, compactness=COMPACTNESS, sigma=1, start_label=0)
    rgb = np.broadcast_to(image_uint8, (*image_uint8.shape[:2], 3))  # grey: one channel three times
    segments = np.unique(slic(np.ascontiguousarray(rgb)), return_inverse=True)[1].reshape(rgb.shape[:2])
    if segments.max() < 1:
        raise ValueError(f"SLIC found one superpixel only where {num_segments} were asked for; ask for more.")
    return segments.astype(np.int64)


def hide_segments(*, image: Tensor, segments: Segments, hide: str) -> Tensor:
    """(C, S, S): what the image looks like with every superpixel hidden."""
    if hide == "black":
        return torch.zeros_like(image)
    if hide == "grey":
        return torch.full_like(image, GREY)
    if hide != "mean":
        raise ValueError(f"hide is {hide!r}, not one of mean, black, grey.")
    array, flat = image.double().cpu().numpy(), segments.ravel()
    sums = np.stack([np.bincount(flat, weights=channel.ravel()) for channel in array])  # (C, num_segments)
    return torch.from_numpy((sums / np.bincount(flat))[:, segments]).to(image)


def judge_masks(
    *,
    classifier: LoadedClassifier,
    image: Tensor,
    hidden: Tensor,
    segments: Segments,
    kept: NDArray[np.int64],
    batch_size: int,
) -> Iterator[NDArray[np.float64]]:
    """Yield (B, K) probabilities of copies of the image in which the superpixels marked 0 in `kept` (n, F) are hidden."""
    lookup = torch.from_numpy(segments).to(image.device)
    shown = torch.from_numpy(kept.astype(bool)).to(image.device)
    for start in range(0, len(kept), batch_size):
        masks = shown[start : start + batch_size][:, lookup][:, None]  # (B, 1, S, S)
        copies = torch.where(masks, image, hidden)
        inputs = normalise(copies, mean=classifier.mean, std=classifier.std)
        yield probabilities(classifier.network, inputs).cpu().numpy()


def _draw_perturbations(random: np.random.RandomState, num_samples: int, num_segments: int) -> NDArray[np.int64]:
    """(num_samples, num_segments) of 0 (hidden) and 1, drawn as the lime package does; the first row hides nothing."""
    kept = random.randint(0, 2, num_samples * num_segments).reshape(num_samples, num_segments)
    kept[0] = 1
    return kept.astype(np.int64)


def _explain_class(base: Any, kept: NDArray[np.int64], judged: NDArray[np.float64], label: int) -> ClassExplanation:
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(kept, kept[:1], metric="cosine").ravel()
    intercept, weights, score, _ = base.explain_instance_with_data(
        kept, judged, distances, label, kept.shape[1], feature_selection="none"
    )
    ordered = sorted(((int(f), float(w)) for f, w in weights), key=lambda pair: (-abs(pair[1]), pair[0]))
    return ClassExplanation(label=label, intercept=float(intercept), weights=tuple(ordered), score=float(score))
