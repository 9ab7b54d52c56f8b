"""Help: how to begin, the words used, and the shortcuts, which are those that shortcuts.js reads."""

import json
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.pages.render import STATIC, Script, render

router = APIRouter(prefix="/help", include_in_schema=False)
GLOSSARY = (
    ("Dataset", "Real, labelled images, imported once. A version of it never changes."),
    ("Split", "Train is learnt from, val chooses the best epoch, test is looked at only to measure."),
    ("Job", "The record of work asked for: its settings, progress, log and result. It survives a crash and a restart."),
    ("Checkpoint", "The weights of a diffusion model, which can draw images of each class."),
    ("Synthetic set", "Images that a checkpoint drew. Each knows its seed, class and checkpoint."),
    ("Classifier", "A network that names the class of an image, trained on real or synthetic images or both."),
    ("Evaluation", "A classifier on one split of real images, with every prediction and intervals for every figure."),
    ("Explanation", "What LIME says: which regions of an image speak for a class, and which against it."),
    ("Deletion", "The probability of a class while regions are hidden one after another. It should fall early."),
    ("Insertion", "The probability of a class while regions are shown one after another. It should rise early."),
    ("Stability", "How far explanations of one image agree when LIME draws its copies with other seeds."),
    ("Preset", "A set of training settings: tiny, small, base, large. Every setting in it can be changed."),
    ("Guidance", "How strongly sampling follows the class. 1 is none; more is clearer and less varied."),
    ("EMA", "An average of the weights over the last steps; it draws better than the weights themselves."),
    ("Seed", "Fixes all randomness. The same settings and seed give the same result."),
    (
        "Balanced accuracy",
        "The mean of the shares found right in each class; a large class counts no more than a small one.",
    ),
    ("AUROC", "How well the classifier ranks images of a class above others. 0.5 is chance, 1 is perfect."),
    ("ECE", "How far stated probabilities are from how often they come true. 0 is perfect."),
    ("Interval", "Where the figure would lie in 95 of 100 repeats with other test images (bootstrap)."),
)


@dataclass(frozen=True)
class Shortcut:
    keys: tuple[str, ...]
    words: str
    where: str


@dataclass(frozen=True)
class HelpPage:
    shortcuts: list[Shortcut]
    glossary: tuple[tuple[str, str], ...]
    script: Script


def read_shortcuts() -> list[Shortcut]:
    """The table that shortcuts.js works by."""
    table = json.loads((STATIC / "js" / "shortcuts.json").read_text())
    return [Shortcut(tuple(row["keys"]), row["words"], row["where"]) for row in table]


@router.get("")
def show(request: Request) -> Response:
    script = Script(
        client="pip install ./client\n\nfrom phantom import Studio\nstudio = Studio()",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/openapi.json"',
    )
    return render(request, "help/show.html", HelpPage(read_shortcuts(), GLOSSARY, script))
