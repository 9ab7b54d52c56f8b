"""Do the fidelity figures order altered real images rightly? Training images against held-out ones, and these blurred, noisy, or too few.

python -m benchmarks.fidelity ZIP [--channels 3] [--extractors NAME ...] [--weights-dir FOLDER] [--out FILE]

ZIP holds class folders. Every image is reduced to --image-size px first. Prints a table; --out takes each report whole.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.recipe.data import read_dataset
from workers.ml.fidelity.comparison import METRICS, FeatureSet, Settings
from workers.ml.fidelity.features import Extractor, default_architectures, extract_features, load_extractor
from workers.ml.fidelity.report import fidelity_report, measure_fidelity
from workers.ml.fidelity.variety import ImageSet, measure_variety

Images = NDArray[np.uint8]
NUM_PAIRS = 500  # of each class
SETTINGS = Settings(
    k_precision=3, k_density=5, num_halves=100, subset_size=100, num_subsets=100, confidence=0.95, seed=0
)


def blurred(std_px: float) -> Callable[[ImageSet, ImageSet], ImageSet]:
    return lambda _, held_out: with_pixels(
        held_out, gaussian_filter(held_out.images_uint8.astype(float), (0, std_px, std_px, 0))
    )


def noisy(std: float) -> Callable[[ImageSet, ImageSet], ImageSet]:
    def add(_: ImageSet, held_out: ImageSet) -> ImageSet:
        noise = np.random.default_rng(0).normal(0, std, held_out.images_uint8.shape)
        return with_pixels(held_out, held_out.images_uint8 + noise)

    return add


def copied(train: ImageSet, held_out: ImageSet) -> ImageSet:
    """As many training images of each class as there are held-out ones."""
    return take(train, per_class=np.bincount(held_out.labels))


def collapsed(_: ImageSet, held_out: ImageSet) -> ImageSet:
    """Five held-out images of each class, again and again with slight noise."""
    few = [np.resize(np.flatnonzero(held_out.labels == k)[:5], n) for k, n in enumerate(np.bincount(held_out.labels))]
    return noisy(2)(held_out, places(held_out, np.concatenate(few)))


SETS: dict[str, Callable[[ImageSet, ImageSet], ImageSet]] = {
    "copies of training images": copied,
    "held-out, blurred 0.5 px": blurred(0.5),
    "held-out, blurred 1 px": blurred(1),
    "held-out, noise 8 levels": noisy(8),
    "held-out, noise 24 levels": noisy(24),
    "5 held-out images a class, repeated": collapsed,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--image-size", type=int, default=32, help="px")
    parser.add_argument("--train", type=int, default=200, help="training images of each class, at most")
    parser.add_argument("--held-out", type=int, default=75, help="held-out images of each class, at most")
    parser.add_argument("--extractors", nargs="+", help="timm names; the studio's own choice if not given")
    parser.add_argument("--weights-dir")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the whole reports")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    train, held_out, classes = real_sets(
        options.zip, image_size=options.image_size, channels=options.channels, num_train=options.train,
        num_held_out=options.held_out,
    )  # fmt: skip
    reports = measure_all(train, held_out, len(classes), options)
    if options.out:
        options.out.write_text(json.dumps({"data": options.zip.name, "classes": classes, "sets": reports}, indent=1))
    print_tables(reports)


def real_sets(
    path: Path, *, image_size: int, channels: int, num_train: int, num_held_out: int
) -> tuple[ImageSet, ImageSet, list[str]]:
    """Training images, held-out ones (validation and test) and the classes of a zip; so many of each class at most."""
    data = read_dataset(path, image_size=image_size, channels=channels, split_seed=0)
    images, labels = (np.concatenate(both) for both in zip(data.of("validation"), data.of("test"), strict=True))
    num = len(data.classes)
    return (
        take(ImageSet(*data.of("train"), None), per_class=[num_train] * num),
        take(ImageSet(images, labels, None), per_class=[num_held_out] * num),
        data.classes,
    )


def measure_all(train: ImageSet, held_out: ImageSet, num_classes: int, options: argparse.Namespace) -> dict[str, Any]:
    names = options.extractors or default_architectures(weights_dir=options.weights_dir)
    extractors = [load_extractor(architecture=name, weights_dir=options.weights_dir, device="cpu") for name in names]
    real = [(features(each, train), features(each, held_out)) for each in extractors]
    variety = {"train": variety_of(train, num_classes), "held_out": variety_of(held_out, num_classes)}
    reports = {}
    for name, alter in SETS.items():
        fake = alter(train, held_out)
        begun = time.perf_counter()
        measured = []
        for extractor, (of_train, of_held_out) in zip(extractors, real, strict=True):
            sections = measure_fidelity(
                train=of_train, held_out=of_held_out, fake=features(extractor, fake), num_classes=num_classes,
                settings=SETTINGS,
            )  # fmt: skip
            measured.append((extractor.to_json(), list(sections)))
        ms_ssim = {"synthetic": variety_of(fake, num_classes), **variety}
        reports[name] = fidelity_report(extractors=measured, ms_ssim=ms_ssim, settings=SETTINGS)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
    return reports


def features(extractor: Extractor, images: ImageSet) -> FeatureSet:
    rows = extract_features(extractor=extractor, images_uint8=images.images_uint8, batch_size=32, device="cpu")
    return FeatureSet(np.concatenate(list(rows)), images.labels, images.groups)


def variety_of(images: ImageSet, num_classes: int) -> dict[str, Any]:
    return measure_variety(images=images, num_classes=num_classes, num_pairs=NUM_PAIRS, confidence=0.95, seed=0)


def take(images: ImageSet, *, per_class: Any) -> ImageSet:
    """So many images of each class, at random."""
    rng = np.random.default_rng(0)
    found = [rng.permutation(np.flatnonzero(images.labels == label))[:count] for label, count in enumerate(per_class)]
    return places(images, np.concatenate(found))


def places(images: ImageSet, chosen: NDArray[np.int64]) -> ImageSet:
    return ImageSet(images.images_uint8[chosen], images.labels[chosen], None)


def with_pixels(images: ImageSet, pixels: NDArray[np.float64]) -> ImageSet:
    return ImageSet(np.clip(np.round(pixels), 0, 255).astype(np.uint8), images.labels, images.groups)


def print_tables(reports: dict[str, Any]) -> None:
    """One table of the whole sets for each extractor; the floor is the first row."""
    first = next(iter(reports.values()))
    for index, about in enumerate(each["extractor"] for each in first["extractors"]):
        wholes = {name: report["extractors"][index]["whole"] for name, report in reports.items()}
        some = next(iter(wholes.values()))
        sizes = {side: some["kid"]["floor"][side] for side in ("n_real", "n_fake")}
        print(f"\n{about}, {sizes}\n\n| against training images | {' | '.join((*METRICS, 'ms_ssim'))} |")
        print("|" + " --- |" * (len(METRICS) + 2))
        row("held-out (floor)", [some[name]["floor"] for name in METRICS], first["ms_ssim"]["held_out"])
        for name, whole in wholes.items():
            row(name, [whole[metric]["synthetic"] for metric in METRICS], reports[name]["ms_ssim"]["synthetic"])


def row(name: str, figures: list[dict[str, Any]], variety: dict[str, Any]) -> None:
    cells = [f"{each['value']:.3g} [{each['low']:.3g}, {each['high']:.3g}]" for each in (*figures, variety["whole"])]
    print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
