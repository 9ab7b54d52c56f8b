"""The noise schedule, shared by training and samplers, and what the network is asked to predict.

v-prediction uses the cosine schedule rescaled to zero terminal SNR (arXiv:2305.08891): at the last timestep there is
nothing but noise. From pure noise and its epsilon no image can be told, so epsilon, and Heun's sampler in every case, stop
at a largest noise-to-signal ratio instead.
"""

import warnings
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
PREDICTIONS = ("v", "epsilon")
SAMPLERS = ("ddim", "dpm++", "unipc", "heun")
MAX_SIGMA = 80.0  # noise-to-signal ratio, arXiv:2206.00364, Table 1; a step from an infinite one would diverge


def check_prediction(prediction: str) -> None:
    """Raise ValueError for an unknown prediction."""
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction is '{prediction}'; expected one of {', '.join(PREDICTIONS)}.")


def _scheduler_options(prediction: str) -> dict[str, Any]:
    check_prediction(prediction)
    return {
        "num_train_timesteps": NUM_TIMESTEPS,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": {"v": "v_prediction", "epsilon": "epsilon"}[prediction],
        "timestep_spacing": "trailing",  # the first step is at pure noise, as in training
    }


@lru_cache
def alphas_cumprod(prediction: str) -> Tensor:
    """Return the (1000,) float32 share of signal variance at each timestep, decreasing; the last is 0 for "v"."""
    import diffusers as untyped

    diffusers: Any = untyped
    scheduler = diffusers.DDIMScheduler(**_scheduler_options(prediction), rescale_betas_zero_snr=True)
    values: Tensor = scheduler.alphas_cumprod.float()
    return values if prediction == "v" else _with_floor(values)


def _with_floor(values: Tensor) -> Tensor:
    """Lift shares of signal so that the least is that of MAX_SIGMA, keeping their order strict."""
    floor = 1 / (1 + MAX_SIGMA**2)
    return floor + (1 - floor) * values


def signal_and_noise(t: Tensor, *, prediction: str) -> tuple[Tensor, Tensor]:
    """Return alpha and sigma of timesteps t (N,), each (N, 1, 1, 1), with alpha**2 + sigma**2 = 1."""
    squared = alphas_cumprod(prediction).to(t.device)[t].view(-1, 1, 1, 1)
    return squared.sqrt(), (1 - squared).sqrt()


def add_noise(images: Tensor, noise: Tensor, t: Tensor, *, prediction: str) -> Tensor:
    """Return alpha * images + sigma * noise; images and noise (N, C, H, W), t (N,)."""
    alpha, sigma = signal_and_noise(t, prediction=prediction)
    return alpha * images + sigma * noise


def training_target(images: Tensor, noise: Tensor, t: Tensor, *, prediction: str) -> Tensor:
    """Return what the network should predict: the noise, or v = alpha * noise - sigma * image (arXiv:2202.00512)."""
    if prediction == "epsilon":
        return noise
    alpha, sigma = signal_and_noise(t, prediction=prediction)
    return alpha * noise - sigma * images


def loss_weights(t: Tensor, *, prediction: str, min_snr_gamma: float) -> Tensor:
    """Return (N,) weights of the squared error at timesteps t (arXiv:2303.09556).

    min(SNR, gamma) / (SNR + 1) for "v", min(SNR, gamma) / SNR for "epsilon"; 1 everywhere when min_snr_gamma is 0.
    """
    if min_snr_gamma == 0:
        return torch.ones(len(t), device=t.device)
    signal = alphas_cumprod(prediction).to(t.device)[t]
    snr = signal / (1 - signal)
    weights: Tensor = snr.clamp(max=min_snr_gamma) / (snr + 1 if prediction == "v" else snr)
    return weights


def draw_timesteps(num: int, *, generator: torch.Generator, device: str, spread: bool) -> Tensor:
    """Return (num,) int64 timesteps, each uniform over 0..999; spread: evenly over the batch (arXiv:2107.00630, I.1).

    Without `spread` each is independent of the others, and of how many there are, as a private training needs it.
    """
    if not spread:
        return torch.randint(NUM_TIMESTEPS, (num,), generator=generator, device=device)
    offset = torch.rand(1, generator=generator, device=device)
    even = (offset + torch.arange(num, device=device) / num) % 1
    return (even * NUM_TIMESTEPS).long().clamp(max=NUM_TIMESTEPS - 1)


def clip_image(predicted: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Return an epsilon prediction with the image it implies clipped to [-1, 1].

    predicted, x: (N, C, H, W), x with unit variance of noise and signal together. t: scalar, whole or, as in Heun's sampler,
    between timesteps. Without this an error at high noise is an error MAX_SIGMA times as large in the image.
    """
    values = alphas_cumprod("epsilon").to(x.device)
    below = int(t)
    odds = torch.logit(values[below : below + 2].double())  # log SNR, linear between timesteps
    signal = torch.sigmoid(torch.lerp(odds[0], odds[-1], float(t) - below)).float()
    alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
    image = ((x - sigma * predicted) / alpha).clamp(-1, 1)
    return (x - alpha * image) / sigma


def build_sampler(*, sampler: str, prediction: str, num_steps: int, device: str) -> Any:
    """Return a fresh diffusers scheduler with its timesteps set; it holds the state of one run.

    sampler: "ddim", "dpm++" (DPM-Solver++ 2M), "unipc" or "heun" (two network calls a step). All are deterministic
    given the first noise. Raises ValueError for an unknown sampler or a number of steps outside 1..1000.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler is '{sampler}'; expected one of {', '.join(SAMPLERS)}.")
    if not 1 <= num_steps <= NUM_TIMESTEPS:
        raise ValueError(f"num_steps is {num_steps}; expected 1 to {NUM_TIMESTEPS}.")
    with warnings.catch_warnings():  # diffusers hands tensors to numpy in a way that numpy 2 warns of
        warnings.simplefilter("ignore", DeprecationWarning)
        scheduler = _new_scheduler(sampler, prediction)
        scheduler.set_timesteps(num_steps, device=device)
    return scheduler


def _new_scheduler(sampler: str, prediction: str) -> Any:
    import diffusers as untyped

    diffusers: Any = untyped
    options = _scheduler_options(prediction) | {"rescale_betas_zero_snr": True}
    if sampler == "ddim":
        scheduler = diffusers.DDIMScheduler(**options, clip_sample=False, set_alpha_to_one=True)
    elif sampler == "dpm++":
        scheduler = diffusers.DPMSolverMultistepScheduler(**options, final_sigmas_type="zero")
    elif sampler == "unipc":
        scheduler = diffusers.UniPCMultistepScheduler(**options, final_sigmas_type="zero")
    else:
        del options["rescale_betas_zero_snr"]
        scheduler = diffusers.HeunDiscreteScheduler(**options, use_karras_sigmas=True)
        scheduler.alphas_cumprod = _with_floor(alphas_cumprod("v"))
    if prediction == "epsilon":
        scheduler.alphas_cumprod = alphas_cumprod("epsilon")
    return scheduler
