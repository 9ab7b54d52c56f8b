"""Copies: how many planted ones are found, how many others are taken for one, and how long a search takes.

python -m benchmarks.duplicates ZIP [ZIP ...] [--pairs 2000] [--search 50000]

Pairs are made by altering real images, non-pairs are two images of one class drawn at random. Non-pairs that are really copies (the
sets have some) count as mistakes all the same, unless their decoded pixels are equal.
"""

import argparse
import io
import json
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from app.core import duplicates
from app.core.duplicates import Gallery
from app.core.fingerprints import SIDE, Fingerprint, fingerprint
from app.core.images.arrays import normalise

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Picture = Image.Image
Alter = Callable[[Picture, random.Random], Picture]


def re_encoded(image: Picture, rng: random.Random) -> Picture:
    file = io.BytesIO()
    image.save(file, rng.choice(["JPEG", "WEBP"]), quality=rng.choice([60, 80, 95]))
    return Image.open(file).convert(image.mode)


def resized(image: Picture, rng: random.Random) -> Picture:
    scale = rng.uniform(0.5, 1.6)
    size = (max(24, round(image.width * scale)), max(24, round(image.height * scale)))
    return image.resize(
        size, rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
    )


def brightened(image: Picture, rng: random.Random) -> Picture:
    gain, offset = rng.uniform(1.02, 1.1), rng.uniform(0, 8)
    return image.point(lambda value: min(255, round(value * gain + offset)))


def cropped(image: Picture, rng: random.Random) -> Picture:
    """2 % of each side, taken from a random edge or from both."""
    x, y = rng.random(), rng.random()
    width, height = image.width * 0.02, image.height * 0.02
    box = (width * x, height * y, image.width - width * (1 - x), image.height - height * (1 - y))
    return image.crop(tuple(round(side) for side in box))  # type: ignore[arg-type]


ALTERATIONS: dict[str, Alter] = {
    "exact (other header)": lambda image, _: image.copy(),
    "re-encoded (JPEG, WebP 60 to 95)": re_encoded,
    "resized (0.5 to 1.6)": resized,
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "mirrored and re-encoded": lambda image, rng: re_encoded(ImageOps.mirror(image), rng),
    "brightened (2 to 10 %, + 0 to 8)": brightened,
    "cropped 2 %": cropped,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates", description=__doc__)
    parser.add_argument("zips", type=Path, nargs="+")
    parser.add_argument(
        "--pairs", type=int, default=2000, help="pairs of each alteration, and non-pairs, over all zips"
    )
    parser.add_argument("--search", type=int, default=0, help="also time a search over so many images")
    options = parser.parse_args()
    sets = [read(path) for path in options.zips]
    print(json.dumps(planted(sets, options.pairs), indent=1))
    if options.search:
        print(json.dumps(search(sets, options.search), indent=1))


def read(path: Path) -> list[tuple[str, Picture]]:
    """(class, image) of every image of a zip of class folders; grey content as grey."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith(ENDINGS):
                pixels = normalise(np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
                found.append((name.split("/")[-2], Image.fromarray(pixels.squeeze())))
    return found


def look(image: Picture) -> Fingerprint:
    array = np.asarray(image)
    return fingerprint(array[..., None] if array.ndim == 2 else array)


def planted(sets: list[list[tuple[str, Picture]]], number: int) -> dict[str, object]:
    rng = random.Random(0)
    share = number // len(sets)
    looks = [[look(image) for _, image in pictures] for pictures in sets]
    wrong = sum(mistaken(pictures, looks[k], share, rng) for k, pictures in enumerate(sets))
    rows = {}
    for name, alter in ALTERATIONS.items():
        hits = sum(recalled(pictures, looks[k], share, alter, rng) for k, pictures in enumerate(sets))
        total = share * len(sets)
        rows[name] = {
            "pairs": total,
            "recall": round(hits / total, 4),
            "precision": round(hits / max(hits + wrong, 1), 4),
        }
    return {"non_pairs": share * len(sets), "non_pairs_taken_for_pairs": wrong, "alterations": rows}


def recalled(
    pictures: list[tuple[str, Picture]], looks: list[Fingerprint], number: int, alter: Alter, rng: random.Random
) -> int:
    chosen = [rng.randrange(len(pictures)) for _ in range(number)]
    return sum(agree(looks[i], look(alter(pictures[i][1], rng))) for i in chosen)


def mistaken(pictures: list[tuple[str, Picture]], looks: list[Fingerprint], number: int, rng: random.Random) -> int:
    by_class: dict[str, list[int]] = {}
    for place, (label, _) in enumerate(pictures):
        by_class.setdefault(label, []).append(place)
    wrong = 0
    for _ in range(number):
        one, other = rng.sample(rng.choice(list(by_class.values())), 2)
        same = pictures[one][1].tobytes() == pictures[other][1].tobytes()
        wrong += not same and agree(looks[one], looks[other])
    return wrong


def agree(one: Fingerprint, other: Fingerprint) -> bool:
    return any(True for _ in duplicates.cross_pairs(Gallery([one]), Gallery([other])))


def search(sets: list[list[tuple[str, Picture]]], number: int) -> dict[str, object]:
    """Time `near_pairs` over real tiles and rotated, moved versions of them, as alike as one modality is."""
    rng = np.random.default_rng(0)
    real = [each for pictures in sets for _, each in pictures]
    looks = [look(real[k]) if k < len(real) else look(moved(real[k % len(real)], rng)) for k in range(number)]
    begun = time.perf_counter()
    gallery = Gallery(looks)
    pairs = sum(1 for _ in duplicates.near_pairs(gallery))
    return {
        "images": number, "pairs": pairs, "seconds": round(time.perf_counter() - begun, 1), "tile_px": SIDE,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def moved(image: Picture, rng: np.random.Generator) -> Picture:
    angle, x, y = rng.uniform(-25, 25), *(rng.uniform(-0.1, 0.1, 2) * image.width)
    return image.resize((64, 64)).rotate(angle, translate=(round(x * 64 / image.width), round(y * 64 / image.height)))


if __name__ == "__main__":
    main()
