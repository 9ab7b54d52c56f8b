"""Head phantoms drawn by our own code: variations of Shepp and Logan's, in four classes that differ in their lesion.

No patient, no licence. Class and seed fix every pixel. After L. A. Shepp and B. F. Logan, "The Fourier
reconstruction of a head section", IEEE Trans. Nucl. Sci. 21 (1974), with the higher contrasts that Toft (1996) uses.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Plane = NDArray[np.float64]


class Ellipse(NamedTuple):
    """intensity is added inside; axes and centre in units of half the image, angle in degrees."""

    intensity: float
    a: float
    b: float
    x: float
    y: float
    angle: float


# Toft's table without the three smallest ellipses, which 32 pixels cannot show.
HEAD = (
    Ellipse(1.0, 0.69, 0.92, 0, 0, 0),  # skull
    Ellipse(-0.72, 0.6624, 0.874, 0, -0.0184, 0),  # brain
    Ellipse(-0.2, 0.11, 0.31, 0.22, 0, -18),  # right ventricle
    Ellipse(-0.2, 0.16, 0.41, -0.22, 0, 18),  # left ventricle
    Ellipse(0.12, 0.21, 0.25, 0, 0.35, 0),
)


class Pose(NamedTuple):
    """How one head differs from the next: turn in degrees, widths, shift, and brain coordinates of a lesion's side."""

    turn: float
    wide: float
    tall: float
    dx: float
    dy: float


def draw(class_name: str, seed: int, size: int = 128) -> NDArray[np.uint8]:
    """The phantom of `class_name` and `seed` as (size, size) uint8; ValueError for a class that is not in CLASSES."""
    if class_name not in LESIONS:
        raise ValueError(f"There is no phantom class {class_name!r}; the classes are {', '.join(LESIONS)}.")
    rng = np.random.default_rng([seed, list(LESIONS).index(class_name)])
    fine = 2 * size  # drawn twice as fine and averaged, so that edges are smooth
    pose = Pose(rng.uniform(-12, 12), *rng.uniform(0.9, 1.04, 2), *rng.uniform(-0.04, 0.04, 2))
    x, y = _head_coordinates(fine, pose)
    image = sum((_inside(x, y, _varied(e, rng)) * e.intensity for e in HEAD), np.zeros((fine, fine)))
    brain = _inside(x, y, HEAD[1]) > 0
    image += LESIONS[class_name](x, y, rng) * brain
    image = image.reshape(size, 2, size, 2).mean(axis=(1, 3))
    image = gaussian_filter(image, 0.004 * size) * rng.uniform(0.9, 1.1)
    image += gaussian_filter(rng.normal(0, 1, image.shape), 0.6) * 0.025
    grey: NDArray[np.uint8] = (np.clip(image, 0, 1.15) / 1.15 * 255).round().astype(np.uint8)
    return grey


def draw_all(num_per_class: int, seed: int, size: int = 128) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """(class, number, image) for every class in turn."""
    for name in CLASSES:
        for k in range(num_per_class):
            yield name, k, draw(name, seed * 1_000_003 + k, size)


def _head_coordinates(size: int, pose: Pose) -> tuple[Plane, Plane]:
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    turn = np.deg2rad(pose.turn)
    x, y = x - pose.dx, y - pose.dy
    return (x * np.cos(turn) + y * np.sin(turn)) / pose.wide, (y * np.cos(turn) - x * np.sin(turn)) / pose.tall


def _varied(e: Ellipse, rng: np.random.Generator) -> Ellipse:
    """Inner parts differ from head to head; skull and brain stay concentric."""
    if e in HEAD[:2]:
        return e
    a, b = np.array([e.a, e.b]) * rng.uniform(0.8, 1.2, 2)
    return Ellipse(e.intensity, a, b, e.x + rng.uniform(-0.03, 0.03), e.y + rng.uniform(-0.04, 0.04), e.angle)


def _inside(x: Plane, y: Plane, e: Ellipse) -> Plane:
    angle = np.deg2rad(e.angle)
    dx, dy = x - e.x, y - e.y
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    inside: Plane = ((along / e.a) ** 2 + (across / e.b) ** 2 <= 1).astype(float)
    return inside


def _no_lesion(x: Plane, _y: Plane, _rng: np.random.Generator) -> Plane:
    return np.zeros_like(x)


def _place(rng: np.random.Generator) -> tuple[float, float]:
    """Somewhere in the outer half of the brain, away from the skull."""
    angle, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 0.68)
    return 0.6 * r * np.cos(angle), 0.85 * r * np.sin(angle)


def _solid_mass(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    cx, cy = _place(rng)
    a, b = rng.uniform(0.13, 0.2, 2)
    return 0.5 * _inside(x, y, Ellipse(1, a, b, cx, cy, rng.uniform(0, 180)))


def _ring_lesion(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    cx, cy = _place(rng)
    a, b = rng.uniform(0.19, 0.25, 2)
    angle = rng.uniform(0, 180)
    outer = _inside(x, y, Ellipse(1, a, b, cx, cy, angle))
    return 0.6 * outer - 0.8 * _inside(x, y, Ellipse(1, a - 0.08, b - 0.08, cx, cy, angle))


def _crescent_bleed(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Blood between skull and brain: the part of the brain that a shifted copy of it leaves free, on one side."""
    side, depth = rng.choice([-1, 1]), rng.uniform(0.13, 0.2)
    brain = HEAD[1]
    angle = rng.uniform(-35, 35)
    dx, dy = side * depth * np.cos(np.deg2rad(angle)), depth * np.sin(np.deg2rad(angle))
    return 0.55 * (1 - _inside(x, y, brain._replace(x=-dx, y=brain.y - dy)))


LESIONS: dict[str, Callable[[Plane, Plane, np.random.Generator], Plane]] = {
    "crescent_bleed": _crescent_bleed,
    "no_lesion": _no_lesion,
    "ring_lesion": _ring_lesion,
    "solid_mass": _solid_mass,
}
CLASSES = tuple(LESIONS)
