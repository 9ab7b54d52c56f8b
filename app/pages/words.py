"""Numbers, times and states as people read them. Every function here is a template filter."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from models import JobKind

KINDS = {
    JobKind.IMPORT_DATASET: "Import",
    JobKind.CHECK_DATASET: "Check",
    JobKind.TRAIN_DIFFUSION: "Train diffusion",
    JobKind.SAMPLE: "Sample",
    JobKind.SAMPLE_PART: "Sample, part",
    JobKind.TRAIN_CLASSIFIER: "Train classifier",
    JobKind.EVALUATE: "Evaluate",
    JobKind.EXPLAIN: "Explain",
    JobKind.SUMMARISE_STUDY: "Study table",
    JobKind.AUDIT_SET: "Audit",
}
OPTIONS = {
    "lr": "Learning rate", "num_steps": "Steps", "per_class": "Images per class", "hflip": "Mirror left-right",
    "vflip": "Mirror top-bottom", "min_snr_gamma": "Min-SNR gamma", "ema_decay": "EMA decay", "top_k": "Top regions",
    "num_samples": "Samples", "num_segments": "Superpixels", "num_bootstrap": "Bootstrap resamples",
    "image_ids": "Images", "uploaded_image_ids": "Uploaded images", "init_checkpoint_id": "Start from checkpoint",
    "dataset_id": "Dataset", "checkpoint_id": "Checkpoint", "synthetic_set_id": "Synthetic set",
    "classifier_id": "Classifier", "images_per_class": "Images per class at most", "fit": "Images that are not square",
    "stability_seeds": "Further seeds", "drop_copies": "Leave copies out", "num_parts": "Parts",
    "membership": "Attack the network", "num_pairs": "Pairs to keep", "num_planted": "Planted copies", "num_similar": "Pairs for MS-SSIM",
    "most_images": "Images at most", "k_precision": "Neighbours for precision", "k_density": "Neighbours for density",
}  # fmt: skip
MINUTE, HOUR, DAY = 60, 3600, 86_400


def number(value: float | None) -> str:
    """1234567 -> 1 234 567 with narrow spaces; None -> a dash."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return text.replace(",", "\u202f")


def plain(value: float) -> str:
    """A bound as one would type it: 0.5, 100000."""
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0f}"


def count(value: int, one: str, many: str = "") -> str:
    """1 image, 2 images."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def size(num_bytes: float | None) -> str:
    """12 345 678 -> 12.3 MB (decimal units)."""
    if num_bytes is None:
        return "–"
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float | None) -> str:
    """95 -> 1 min 35 s; a single unit from hours on where the rest is small."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{seconds:.1f} s" if 0 < seconds < 10 and not float(seconds).is_integer() else f"{whole} s"
    if whole < HOUR:
        return _two(whole, MINUTE, "min", 1, "s")
    if whole < DAY:
        return _two(whole, HOUR, "h", MINUTE, "min")
    return _two(whole, DAY, "d", HOUR, "h")


def _two(whole: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = whole % big // small
    return f"{whole // big} {big_name}" + (f" {rest} {small_name}" if rest else "")


def rough(seconds: float) -> str:
    """A duration to one unit, for estimates: 44 s, 13 min, 2.5 h, 3 d."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 90 * MINUTE:
        return f"{round(seconds / MINUTE)} min"
    if seconds < 36 * HOUR:
        return f"{_short(seconds / HOUR)} h"
    return f"{_short(seconds / DAY)} d"


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def duration_range(low_high: tuple[float, float] | None) -> str:
    """Time left as a range: 12 to 15 min."""
    if low_high is None:
        return "not known yet"
    low, high = (rough(seconds) for seconds in low_high)
    if low == high:
        return f"about {low}"
    low_value, low_unit = low.split()
    return f"{low_value} to {high}" if high.endswith(f" {low_unit}") else f"{low} to {high}"


def ago(then: dt.datetime | None) -> str:
    """How long since `then`: just now, 5 min ago, 3 d ago."""
    if then is None:
        return "never"
    seconds = (dt.datetime.now(dt.UTC) - then).total_seconds()
    return "just now" if seconds < 45 else f"{rough(seconds)} ago"


def stamp(then: dt.datetime | None) -> str:
    """2026-11-22 21:05 UTC."""
    return "–" if then is None else f"{then:%Y-%m-%d %H:%M} UTC"


def iso(then: dt.datetime) -> str:
    """A moment for scripts and for <time datetime>: 2026-11-22T21:05:31.250+00:00."""
    return then.isoformat(timespec="milliseconds")


def clock(then: dt.datetime) -> str:
    return f"{then:%H:%M:%S}"


def percent(fraction: float | None) -> str:
    """0.431 -> 43 %, rounded down so that 100 % means finished."""
    return "–" if fraction is None else f"{int(fraction * 100 + 1e-9)} %"


def kind_name(kind: str) -> str:
    return KINDS[JobKind(kind)]


def sentence(name: str) -> str:
    """The name of an option or column as a label: lr -> Learning rate, batch_size -> Batch size."""
    return OPTIONS.get(name) or name.replace("_", " ").capitalize()


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number, "count_of": count, "size": size, "duration": duration, "duration_range": duration_range,
    "rough": rough, "ago": ago, "stamp": stamp, "iso": iso, "clock": clock, "percent": percent, "kind_name": kind_name,
    "sentence": sentence, "plain": plain,
}  # fmt: skip
