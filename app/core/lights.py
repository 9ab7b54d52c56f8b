"""The release gate's lights: what an audit found, as green, red or grey with a sentence each.

Red stops a release, green lets it pass, grey says that nobody knows and why. Each rule and its threshold stand here,
and nowhere else; docs/science/privacy.md says what a green light does not mean.

- leakage: red if patients, identical pictures or look-alikes of the dataset's version stand in several splits: then
  "held out" means little, and every other figure is too kind.
- copies: red if in any space significantly more synthetic than held-out real images are flagged (Fisher's exact test,
  one-sided, at 5 %, as the audit gives it). No upper bound is asked for: with 200 images none would be low enough.
- membership: red if the upper bound of the attack's AUC passes MAX_AUC. Few images have wide intervals, so a set may be
  red for want of evidence.
- utility: grey; an audit trains no classifier. A study does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_AUC = 0.60
GREEN, RED, GREY = "green", "red", "grey"
NAMES = {"leakage": "Leakage", "copies": "Copies", "membership": "Membership", "utility": "Utility"}
LEAKS = {"patients": "patients", "identical": "identical pictures", "near": "groups of look-alikes"}
Light = dict[str, str]


def lights(*, leaks: Mapping[str, int] | None, privacy: Mapping[str, Any]) -> list[Light]:
    """Every light, in the order of NAMES: {name, state, sentence}. leaks: of the version; privacy: the audit's report."""
    return [
        _leakage(leaks), _copies(privacy["spaces"]), _membership(privacy["membership"]),
        _light("utility", GREY, "Not measured here: train classifiers on the images, or launch a study."),
    ]  # fmt: skip


def _light(name: str, state: str, sentence: str) -> Light:
    return {"name": name, "state": state, "sentence": sentence}


def _leakage(leaks: Mapping[str, int] | None) -> Light:
    if leaks is None:
        return _light("leakage", GREY, "Nobody has looked for leaks in this version of the dataset.")
    found = [f"{leaks[kind]:,} {noun}" for kind, noun in LEAKS.items() if leaks.get(kind)]
    if not found:
        return _light("leakage", GREEN, "No known patient, picture or look-alike stands in several splits.")
    return _light("leakage", RED, f"{_listed(found)} stand in several splits of the dataset's version.")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _copies(spaces: Mapping[str, Any]) -> Light:
    known = {name: space["copies"] for name, space in spaces.items() if "rate" in space["copies"]}
    if not known:
        reason = next(iter(spaces.values()))["copies"]["reason"]
        return _light("copies", GREY, f"Nothing can be said of copies. {reason}")
    tested = {name: each for name, each in known.items() if each["above_floor"]["is_above"] is not None}
    if not tested:
        reason = next(iter(known.values()))["above_floor"]["reason"]
        return _light("copies", GREY, f"Flagged images cannot be compared with unseen real ones. {reason}")
    above = [name for name, each in tested.items() if each["above_floor"]["is_above"]]
    name = above[0] if above else next(iter(tested))
    rate, floor = tested[name]["rate"], tested[name]["floor"]
    said = (
        f"{rate['count']:,} of {rate['n']:,} images are flagged as copies ({name}; at most {100 * rate['high']:.1f} % with 95 % confidence), "
        f"against {floor['count']:,} of {floor['n']:,} unseen real ones"
    )
    if above:
        return _light("copies", RED, f"{said}: significantly more.")
    return _light("copies", GREEN, f"{said}: not significantly more.")


def _membership(found: Mapping[str, Any]) -> Light:
    auc = found.get("auc")
    if auc is None:
        return _light("membership", GREY, found["reason"])
    if auc["high"] is None:
        return _light("membership", GREY, f"The attack has no interval. {auc.get('reason') or ''}".strip())
    said = f"The attack's AUC is {auc['value']:.2f} [{auc['low']:.2f}, {auc['high']:.2f}]"
    if auc["high"] > MAX_AUC:
        return _light("membership", RED, f"{said}: its upper bound passes {MAX_AUC:.2f}.")
    return _light("membership", GREEN, f"{said}: its upper bound stays within {MAX_AUC:.2f}.")
