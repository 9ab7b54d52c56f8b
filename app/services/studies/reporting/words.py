"""What the arms of a study and its sets of test images are called."""

from models import Arm

ARMS = {
    Arm.REAL: ("Real, all", "the whole real training split"),
    Arm.REAL_EQUAL: ("Real, equal budget", "exactly the real images that the diffusion network learnt"),
    Arm.SYNTHETIC: ("Synthetic", "synthetic images only, without the copies that the audit left out"),
    Arm.REAL_PLUS_SYNTHETIC: ("Real and synthetic", "the equal budget and the synthetic images"),
    Arm.REAL_AUGMENTED: ("Real, augmented", "the equal budget with traditional augmentation"),
    Arm.SYNTHETIC_TEST: (
        "Real, tested on synthetic",
        "trains nothing: the classifiers of the equal budget, tested on the synthetic images. Are their labels faithful?",
    ),
}
TESTED = {"own": "the locked test images", "synthetic": "the synthetic images"}
METRICS = {
    "balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "auroc": "AUROC", "macro_f1": "F1",
    "macro_precision": "Precision", "macro_recall": "Recall", "ece": "ECE", "kid": "KID", "fid": "FID", "ms_ssim": "MS-SSIM",
}  # fmt: skip

EXPLAINED = {  # figures of explanations: (name, what is good)
    "deletion_auc": ("Deletion area", "small is good"),
    "insertion_auc": ("Insertion area", "large is good"),
    "border": ("Weight on the border", "of what speaks for the class"),
    "corners": ("Weight in the corners", "of what speaks for the class"),
    "outside": ("Weight outside the body", "of what speaks for the class"),
    "stability": ("Overlap over LIME’s seeds", "1 is the same regions"),
}


def arm_name(arm: str, size: float | None) -> str:
    """Synthetic × 2; the sign and the number stay on one line."""
    name = ARMS[Arm(arm)][0]
    return name if size is None else f"{name} ×\u00a0{size:g}"


def tested_on(name: str) -> str:
    return TESTED.get(name, f"the images of {name}")


def metric_name(metric: str) -> str:
    return METRICS.get(metric) or metric.replace("_", " ").capitalize()


def number(value: int, one: str, many: str = "") -> str:
    """1 image, 2 images."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def with_interval(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """0.812 [0.790, 0.833], as the tables write it."""
    form = "+.3f" if signed else ".3f"
    if value is None:
        return "not computed"
    return format(value, form) + (f" [{low:{form}}, {high:{form}}]" if low is not None and high is not None else "")


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
