"""Train, draw, classify, report: python -m benchmarks.recipe --data ZIP --out FOLDER [--channels 3 --vflip] ...

Guidance is chosen on the real validation images; the test images are used once per seed and arm, at the end. Stopped, it goes
on from its last checkpoint, and from the outcomes noted beside it, when called again with the same folder and options; a change
of options wants a new folder.
"""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipe import classify, diffusion
from benchmarks.recipe.data import Dataset, equal_real, read_dataset
from benchmarks.recipe.sheets import write_sheet
from workers.ml.diffusion.training import Denoiser


def log(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="zip of class folders")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, sheets and report.json")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="1 grey, 3 RGB")
    parser.add_argument("--image-size", type=int, default=32, help="side in px")
    parser.add_argument("--steps", type=int, help="diffusion steps of 32 images")
    parser.add_argument("--minutes", type=float, default=20.0, help="diffusion budget when --steps is not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hflip", action="store_true", help="mirror left-right in training")
    parser.add_argument("--vflip", action="store_true", help="mirror top-bottom in training")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], help="values to choose from")
    parser.add_argument("--per-class", type=int, default=200, help="images per class in each arm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the classifiers")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    import torch

    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    dataset = read_dataset(options.data, image_size=options.image_size, channels=options.channels, split_seed=0)
    log(f"{options.data.name}: {dataset.classes}, images per part {np.bincount(dataset.part).tolist()}")
    num_steps = options.steps or diffusion.steps_for(dataset, minutes=options.minutes)
    flips = {"hflip": options.hflip, "vflip": options.vflip}
    denoiser = diffusion.train(
        dataset, folder=options.out / "checkpoints", num_steps=num_steps, seed=0, log=log, **flips
    )
    report = {"data": options.data.name, "steps": num_steps, **compare(dataset, denoiser, options, flips)}
    (options.out / "report.json").write_text(json.dumps(report, indent=1))
    log(json.dumps(report))


def compare(
    dataset: Dataset, denoiser: Denoiser, options: argparse.Namespace, flips: dict[str, bool]
) -> dict[str, Any]:
    """Choose guidance on validation images, then test both arms with every seed."""
    sets = {}
    for guidance in options.guidance:
        sets[guidance] = diffusion.draw(denoiser, per_class=options.per_class, guidance=guidance, seed=0)
        write_sheet(options.out / f"guidance-{guidance}.png", *sets[guidance], columns=12, scale=3)
    write_sheet(options.out / "real.png", *dataset.of("train"), columns=12, scale=3)
    chosen, validation = choose_guidance(dataset, sets, flips)
    arms: dict[str, list[classify.Outcome]] = {"synthetic": [], "real": []}
    for seed in options.seeds:
        for arm, outcomes in arms.items():
            known = options.out / f"{arm}-guidance-{chosen}-images-{options.per_class}-seed-{seed}.json"
            real = equal_real(dataset, per_class=options.per_class, seed=seed)
            data = sets[chosen] if arm == "synthetic" else real
            outcomes.append(_outcome(known, dataset, *data, flips=flips, seed=seed))
            log(f"{arm} seed {seed}: {outcomes[-1]}")
    return summary(dataset, arms) | {
        "guidance": chosen,
        "guidance_validation": validation,
        "seeds": options.seeds,
    }


def _outcome(
    known: Path, dataset: Dataset, images: Any, labels: Any, *, flips: dict[str, bool], seed: int
) -> classify.Outcome:
    """Return the outcome noted in the file `known`, or find it and note it there."""
    if known.exists():
        return classify.Outcome(**json.loads(known.read_text()))
    outcome = classify.train_and_test(dataset, images_uint8=images, labels=labels, seed=seed, **flips)
    known.write_text(json.dumps(asdict(outcome)))
    return outcome


def choose_guidance(dataset: Dataset, sets: dict[float, Any], flips: dict[str, bool]) -> tuple[float, dict[str, float]]:
    """Return the guidance whose images teach best, by balanced accuracy on validation images (seed 100), and all values."""
    if len(sets) == 1:
        return next(iter(sets)), {}
    found = {}
    for guidance, (images, labels) in sets.items():
        outcome = classify.train_and_test(dataset, images_uint8=images, labels=labels, seed=100, **flips)
        found[guidance] = outcome.validation
        log(f"guidance {guidance}: validation {outcome.validation:.3f}")
    return max(found, key=lambda guidance: found[guidance]), {str(key): value for key, value in found.items()}


def summary(dataset: Dataset, arms: dict[str, list[classify.Outcome]]) -> dict[str, Any]:
    tests = {arm: [outcome.test for outcome in outcomes] for arm, outcomes in arms.items()}
    recalls = {
        arm: np.mean([outcome.recalls for outcome in outcomes], axis=0).round(3).tolist()
        for arm, outcomes in arms.items()
    }
    return {
        "balanced_accuracy": tests,
        "mean": {arm: float(np.mean(values)) for arm, values in tests.items()},
        "ratio_per_seed": [fake / real for fake, real in zip(tests["synthetic"], tests["real"], strict=True)],
        "ratio": float(np.mean(tests["synthetic"]) / np.mean(tests["real"])),
        "classes": dataset.classes,
        "mean_recalls": recalls,
    }


if __name__ == "__main__":
    main()
