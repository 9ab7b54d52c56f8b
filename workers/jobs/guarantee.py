"""What a differentially private training promises: epsilon and delta for one image, counted by dp-accounting.

The accountant composes Gaussian mechanisms on Poisson samples by Renyi divergence (Mironov et al., arXiv:1908.10530),
for data that differ by one image added or removed.
"""

from importlib.metadata import version
from typing import Any

import dp_accounting
from dp_accounting import rdp

from models.specs import TrainDiffusionSpec
from workers.ml.diffusion.training import Privacy

PRECISION = 1e-4  # of the noise multiplier


def delta_of(spec: TrainDiffusionSpec, *, num_images: int) -> float:
    """The delta asked for; one over ten times the images if none was."""
    return spec.dp_delta if spec.dp_delta is not None else 1 / (10 * num_images)


def privacy_of(spec: TrainDiffusionSpec, *, num_images: int) -> Privacy | None:
    """The least noise that keeps to the epsilon asked for over all steps; None: none was asked for.

    Raises ValueError where the batch or delta is too large for these images.
    """
    if spec.dp_epsilon is None:
        return None
    delta = delta_of(spec, num_images=num_images)
    if spec.batch_size >= num_images:
        raise ValueError(
            f"batch_size is {spec.batch_size}, but privacy needs fewer than the {num_images} training images in a step."
        )
    if delta >= 1 / num_images:
        raise ValueError(
            f"dp_delta is {delta:g}, but must be below one over the {num_images} training images; leave it empty for "
            f"{1 / (10 * num_images):g}."
        )
    noise = dp_accounting.calibrate_dp_mechanism(
        rdp.RdpAccountant,
        lambda multiplier: _event(multiplier, spec, num_images=num_images, num_steps=spec.num_steps),
        spec.dp_epsilon, delta, tol=PRECISION,
    )  # fmt: skip
    return Privacy(noise_multiplier=float(noise), max_grad_norm=spec.dp_max_grad_norm)


def guarantee(spec: TrainDiffusionSpec, privacy: Privacy, *, num_images: int, num_steps: int) -> dict[str, Any]:
    """What may be said of a network after `num_steps` steps: {unit, epsilon, delta, and all that they follow from}."""
    delta = delta_of(spec, num_images=num_images)
    accountant = rdp.RdpAccountant()
    accountant.compose(_event(privacy.noise_multiplier, spec, num_images=num_images, num_steps=num_steps))
    return {
        "unit": "image",
        "epsilon": float(accountant.get_epsilon(delta)),
        "delta": delta,
        "noise_multiplier": privacy.noise_multiplier,
        "max_grad_norm": privacy.max_grad_norm,
        "sampling_probability": spec.batch_size / num_images,
        "num_steps": num_steps,
        "accountant": f"dp-accounting {version('dp-accounting')}, RDP, add or remove one",
    }


def _event(multiplier: float, spec: TrainDiffusionSpec, *, num_images: int, num_steps: int) -> Any:
    step = dp_accounting.PoissonSampledDpEvent(spec.batch_size / num_images, dp_accounting.GaussianDpEvent(multiplier))
    return dp_accounting.SelfComposedDpEvent(step, num_steps)
