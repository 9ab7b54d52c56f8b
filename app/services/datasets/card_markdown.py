"""A card as Markdown: what a person says first, quoted, so that it cannot be taken for what is measured below it."""

import re
from collections.abc import Iterable, Sequence

from app.services.datasets.cards import TITLES, Card
from models import Split

NOT_STATED = "*Not stated.*"
NOT_CHECKED = "*No check of this version has ended.*"
_MARKUP = re.compile(r"[\\`*<>|\[\]]|(?<!\w)_|_(?!\w)")


def markdown(card: Card) -> str:
    version = card.version
    about = (
        f"Datasheet of version {version.number}, made on {version.created_at:%Y-%m-%d}: {version.num_images:,} images. "
        "Quoted lines are what a person says; everything else was measured by Phantom Studio."
    )
    sections = [
        f"# {plain(card.dataset.name)}",
        about,
        quoted(card.dataset.description),
        *(f"## {title}\n\n{quoted(getattr(card.text, name)) or NOT_STATED}" for name, title in TITLES.items()),
        f"## Classes and splits\n\n{_counts(card)}",
        f"## Measured\n\n{_table(['what', 'measured'], card.facts)}",
        f"## Trivial baselines\n\n{_baselines(card)}",
        f"## Findings of the check\n\n{_findings(card)}",
        f"## History\n\n{_history(card)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plain(text: str) -> str:
    """Text that stays in its cell and on its line, and means nothing to Markdown."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def quoted(text: str) -> str:
    """A block quote; Markdown within it keeps its meaning."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, num_words: int = 2) -> str:
    """num_words: columns of words; those after them are numbers."""
    rules = ["---"] * num_words + ["---:"] * (len(head) - num_words)
    lines = [head, rules, *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(card: Card) -> str:
    rows = [(name, *(f"{number:,}" for number in numbers)) for name, numbers in card.counts]
    total = ("all classes", *(f"{number:,}" for number in card.totals))
    return _table(["class", *Split, "all"], [*rows, total], num_words=1)


def _baselines(card: Card) -> str:
    measured = card.baselines
    if measured is None:
        return NOT_CHECKED
    if measured["reason"]:
        return str(measured["reason"])
    rows = [
        (model["what"], model["how"].removeprefix("a "), _percent(figure["value"]), f"{_percent(figure['low'])} to {_percent(figure['high'])}")
        for model in measured["models"]
        for figure in [model["balanced_accuracy"]]
    ]  # fmt: skip
    about = (
        f"Models that hardly look at an image, cross-validated in {measured['num_folds']} folds over {measured['num_images']:,} "
        f"training and validation images. Chance is {_percent(measured['chance'])}; a network that comes no further than they "
        "do has learnt a shortcut."
    )
    head = ["sees", "model", "balanced accuracy", f"{measured['confidence']:.0%} interval".replace("%", " %")]
    return f"{about}\n\n{_table(head, rows)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _findings(card: Card) -> str:
    if card.findings is None:
        return NOT_CHECKED
    told = [
        f"{place}. **{each['severity'].capitalize()}: {plain(each['title'])}.** {plain(each['meaning'])} "
        f"What to do: {plain(each['action'])}"
        for place, each in enumerate(card.findings, start=1)
    ]
    return "\n".join(told) or "Nothing was found that needs a look."


def _history(card: Card) -> str:
    rows = [
        (str(each.number), each.change or "Import", f"{each.created_at:%Y-%m-%d}", each.manifest_sha256[:12], f"{each.num_images:,}")
        for each in card.history
    ]  # fmt: skip
    return _table(["version", "what changed", "made", "manifest", "images"], rows, num_words=4)
