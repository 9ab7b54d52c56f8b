"""The schedule's closed forms: variance, targets, weights and the samplers' starting points."""

import pytest
import torch

from workers.ml.diffusion import schedule

T = torch.arange(1000)


def test_v_ends_in_pure_noise_and_epsilon_does_not():
    assert float(schedule.alphas_cumprod("v")[-1]) == 0
    assert float(schedule.alphas_cumprod("epsilon")[-1]) > 0


@pytest.mark.parametrize("prediction", schedule.PREDICTIONS)
def test_signal_falls_and_variances_add_to_one(prediction):
    values = schedule.alphas_cumprod(prediction)
    assert (values.diff() < 0).all()
    assert 0.999 < float(values[0]) < 1
    alpha, sigma = schedule.signal_and_noise(T, prediction=prediction)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(1000, 1, 1, 1))


def test_image_and_noise_follow_from_the_noisy_image_and_v():
    # x = a * image + s * noise, v = a * noise - s * image  =>  image = a * x - s * v, noise = s * x + a * v
    image, noise, t = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2), torch.tensor([0, 250, 500, 750, 999])
    alpha, sigma = schedule.signal_and_noise(t, prediction="v")
    x = schedule.add_noise(image, noise, t, prediction="v")
    v = schedule.training_target(image, noise, t, prediction="v")
    assert torch.allclose(alpha * x - sigma * v, image, atol=1e-5)
    assert torch.allclose(sigma * x + alpha * v, noise, atol=1e-5)


@pytest.mark.parametrize("prediction", schedule.PREDICTIONS)
def test_weights_equal_the_closed_form(prediction):
    signal = schedule.alphas_cumprod(prediction)
    snr = signal / (1 - signal)
    expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + 1 if prediction == "v" else snr)
    assert torch.allclose(schedule.loss_weights(T, prediction=prediction, min_snr_gamma=5.0), expected)
    assert torch.equal(schedule.loss_weights(T, prediction=prediction, min_snr_gamma=0), torch.ones(1000))


def test_timesteps_of_a_batch_are_spread_evenly():
    t = schedule.draw_timesteps(10, generator=torch.Generator().manual_seed(0), device="cpu", spread=True)
    assert sorted((t // 100).tolist()) == list(range(10))


def test_timesteps_are_uniform_in_every_row_of_the_batch():
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [schedule.draw_timesteps(4, generator=generator, device="cpu", spread=True) for _ in range(2000)]
    ).float()
    # uniform over 0..999: mean 499.5, deviation 288.7; the mean of 2,000 has a deviation of 6.5
    assert (draws.mean(dim=0) - 499.5).abs().max() < 30
    assert (draws.std(dim=0) - 288.7).abs().max() < 15


@pytest.mark.parametrize("sampler", schedule.SAMPLERS)
def test_samplers_start_at_the_last_timestep(sampler):
    scheduler = schedule.build_sampler(sampler=sampler, prediction="v", num_steps=10, device="cpu")
    assert int(scheduler.timesteps[0].round()) in range(985, 1000)
    assert len(scheduler.timesteps) == (19 if sampler == "heun" else 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "euler"}, "expected one of ddim, dpm"),
        ({"prediction": "x0"}, "expected one of v, epsilon"),
        ({"num_steps": 0}, "expected 1 to 1000"),
        ({"num_steps": 1001}, "expected 1 to 1000"),
    ],
)
def test_unknown_options_are_refused(changes, message):
    options = {"sampler": "ddim", "prediction": "v", "num_steps": 10, "device": "cpu"}
    with pytest.raises(ValueError, match=message):
        schedule.build_sampler(**options | changes)


class Gaussian:
    """The exact denoiser of data distributed as N(mean, std**2), pixel by pixel."""

    def __init__(self, mean: float, std: float, prediction: str) -> None:
        self.mean, self.variance, self.prediction = mean, std**2, prediction

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alphas = schedule.alphas_cumprod(self.prediction)
        below, share = int(t), float(t) - int(t)  # Heun's timesteps lie between whole ones
        signal = torch.lerp(alphas[below], alphas[min(below + 1, 999)], share).clamp(min=1e-12)
        alpha, noise_variance = signal.sqrt(), 1 - signal
        # E[noise | x] = sigma * (x - alpha * mean) / (alpha**2 * variance + sigma**2)
        noise = noise_variance.sqrt() * (x - alpha * self.mean) / (signal * self.variance + noise_variance)
        image = (x - noise_variance.sqrt() * noise) / alpha if signal > 1e-9 else torch.full_like(x, self.mean)
        return noise if self.prediction == "epsilon" else alpha * noise - noise_variance.sqrt() * image


@pytest.mark.parametrize("prediction", schedule.PREDICTIONS)
@pytest.mark.parametrize("sampler", schedule.SAMPLERS)
def test_each_sampler_recovers_a_gaussian(sampler, prediction):
    denoiser = Gaussian(0.3, 0.2, prediction)
    scheduler = schedule.build_sampler(sampler=sampler, prediction=prediction, num_steps=50, device="cpu")
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).view(-1, 1, 1, 1)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(denoiser(scheduler.scale_model_input(x, t), t), t, x).prev_sample
    assert float(x.mean()) == pytest.approx(0.3, abs=0.02)
    assert float(x.std()) == pytest.approx(0.2, abs=0.02)
