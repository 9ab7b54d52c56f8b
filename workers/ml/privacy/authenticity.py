"""Authenticity of synthetic images (arXiv:2102.08921), and the share of training images that were memorised."""

import numpy as np

from workers.ml.metrics.reports import Report
from workers.ml.privacy.copies import CONFIDENCE
from workers.ml.privacy.neighbours import Flags, Neighbours
from workers.ml.privacy.rates import rate


def is_authentic(*, images: Neighbours, train: Neighbours) -> Flags:
    """(N,): the image is at least as far from its nearest training image as that one is from its own nearest other one.

    images: what was found for N images. train: for all T training images, searched without themselves and their known
    look-alikes. Blank images, and those whose training image has no other to compare with, count as authentic: leave
    them out by `comparable`.
    """
    others = np.where(comparable(images=images, train=train), train.distances[images.nearest], -np.inf)
    return np.asarray(~(images.distances < others))


def comparable(*, images: Neighbours, train: Neighbours) -> Flags:
    """(N,): the image and its nearest training image both have a neighbour."""
    return ~images.is_blank & ~train.is_blank[images.nearest]


def authenticity(*, images: Neighbours, train: Neighbours) -> Report:
    """The share of authentic images with a 95 % interval: {n, count, value, low, high}.

    Fresh real images are authentic in about half of the cases, so read it beside the same figure of held-out images.
    """
    counted = comparable(images=images, train=train)
    authentic = is_authentic(images=images, train=train) & counted
    return rate(count=int(authentic.sum()), total=int(counted.sum()), confidence=CONFIDENCE)


def memorised(*, synthetic: Neighbours, flagged: Flags, num_train: int) -> Report:
    """The share of training images that are the nearest of at least one flagged synthetic image, and which they are.

    {n, count, value, low, high, train}: train lists {train, copies}, most often copied first. The share grows with the
    number of synthetic images: compare only sets of one size.
    """
    places, copies = np.unique(synthetic.nearest[flagged], return_counts=True)
    order = np.argsort(-copies, kind="stable")
    listed = [{"train": int(places[k]), "copies": int(copies[k])} for k in order]
    return {**rate(count=len(places), total=num_train, confidence=CONFIDENCE), "train": listed}
