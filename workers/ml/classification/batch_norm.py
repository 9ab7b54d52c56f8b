"""Give batch norm statistics that belong to the training images, however few steps were taken.

Running averages move by 1 % to 10 % a step: after the few dozen steps of a small training set they are still those of
ImageNet, and a network that is right in training mode is wrong in eval mode. So they are counted afresh, as plain
averages over training images, each time before the network is judged. The sample must hold the classes in the shares
in which training drew them: a network that saw every class equally often, judged with the statistics of a set where one
is rare, takes that class for its neighbours.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NUM_IMAGES = 512  # statistics of more images differ by less than those of two batches


def settle_batch_norm(*, network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace every running mean and variance by its average over `batches` of normalised inputs (B, 3, S, S).

    Leaves the network in eval mode; does nothing to a network without batch norm. No weight changes.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages all batches equally
        layer.train()
    _forward_all(network, batches if layers else ())
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def _forward_all(network: nn.Module, batches: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for batch in itertools.chain(batches):
            network(batch)
