"""The release gate: what is known of a synthetic set, as green, red or grey lights with a sentence each, and the verdict.

Red stops a release, green lets it pass, grey says that nobody knows and why, and stops it too. Each rule and its
threshold stand here, and nowhere else; docs/science/gate.md says what a green light does not mean.

- leakage: red if patients, identical pictures or look-alikes of the dataset's version stand in several splits: then
  "held out" means little, and every other figure is too kind.
- copies: red if in any space significantly more synthetic than held-out real images are flagged (Fisher's exact test,
  one-sided, at 5 %, as the audit gives it). No upper bound is asked for: with 200 images none would be low enough. A set
  without its copies is red if more than MAX_LEFT_OUT had to be left out: what a search misses stays in the rest; else it is
  green, and the sentence says what held as it was drawn; grey, where nobody could say that.
- membership: red if the upper bound of the attack's AUC passes MAX_AUC. Few images have wide intervals, so a set may be
  red for want of evidence.
- utility: red unless every network of the study that learnt the set reaches MIN_RATIO of what an equal budget of real
  images teaches it, with an interval above chance. No network is picked, and neither is a size: it is size 1, or the
  largest where that was not studied.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models import Arm

MAX_AUC = 0.60
MAX_LEFT_OUT = 0.10  # of the images drawn; a search that finds nine in ten copies then leaves about one in a hundred
MIN_RATIO = 0.85  # of the seed means of balanced accuracy: synthetic images alone, to as many real ones
MOST_NAMED = 4  # networks in one sentence
GREEN, RED, GREY = "green", "red", "grey"
RELEASABLE, NOT_RELEASABLE, NOT_AUDITED = "releasable", "not releasable", "not audited"
OVERRIDDEN = "released by override"
NAMES = {"leakage": "Leakage", "copies": "Copies", "membership": "Membership", "utility": "Utility"}
NOT_HERE = "Not measured here: an audit trains no classifier. A study measures the set that it draws."
LEAKS = {"patients": "patients", "identical": "identical pictures", "near": "groups of look-alikes"}
Light = dict[str, str]


class Without(NamedTuple):
    """What was left out to make a set: of num_images that were audited num_flagged. audited_since: the set itself was audited."""

    num_flagged: int
    num_images: int
    audited_since: bool


class _Network(NamedTuple):
    """Balanced accuracy of one network: of the synthetic arm with its interval, and of the equal budget of real images."""

    name: str
    synthetic: float
    low: float
    high: float
    real: float
    chance: float
    size: float
    num_seeds: int
    num_images: int

    @property
    def ratio(self) -> float:
        return self.synthetic / self.real if self.real else 0.0

    @property
    def passes(self) -> bool:
        return self.ratio >= MIN_RATIO and self.low > self.chance

    @property
    def words(self) -> str:
        return f"{self.name} {self.synthetic:.3f} [{self.low:.3f}, {self.high:.3f}] against {self.real:.3f}, ratio {self.ratio:.2f}"


def lights(
    *, leaks: Mapping[str, int] | None, report: Mapping[str, Any] | None, utility: Light, without: Without | None = None,
    num_unseen: int = 0,
) -> list[Light]:  # fmt: skip
    """Every light, in the order of NAMES: {name, state, sentence}.

    leaks: of the version, None: not looked for. report: the audit's, None: there is no audit. utility: of `utility` or
    `unmeasured`. without: given for a set that is another one without its copies. num_unseen: images that the audit left out
    because they were rejected then, and are not now.
    """
    return [_leakage(leaks), _copies(report, without, num_unseen), _membership(report), utility]


def verdict(lights: Sequence[Light]) -> str:
    """RELEASABLE only if every light is green."""
    return NOT_RELEASABLE if stopped_by(lights) else RELEASABLE


def stopped_by(lights: Sequence[Light]) -> list[str]:
    """Names of the lights that are not green."""
    return [light["name"] for light in lights if light["state"] != GREEN]


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


def _copies(report: Mapping[str, Any] | None, without: Without | None, num_unseen: int) -> Light:
    if report is None:
        return _light("copies", GREY, "Nobody has searched these images for copies: audit the set.")
    if not report["images"]["was_learnt"]:
        return _light(
            "copies", GREY,
            "The set was compared with images that its network did not learn. Audit it against those that it learnt.",
        )  # fmt: skip
    if num_unseen:
        said = f"{num_unseen:,} images were rejected when the set was audited, and are not now"
        return _light("copies", GREY, f"{said}: audit it again, or reject them again.")
    if without is not None and without.num_flagged > MAX_LEFT_OUT * without.num_images:
        return _light(
            "copies",
            RED,
            f"{_left_out(without)}, more than {100 * MAX_LEFT_OUT:.0f} %: what the search misses is still among the rest.",
        )
    found = _flagged(report["privacy"]["spaces"])
    if without is None or without.audited_since or found["state"] == GREY:
        return found
    before = found["sentence"]
    return _light("copies", GREEN, f"{_left_out(without)}. The search flags none of the rest. As drawn: {before}")


def _left_out(without: Without) -> str:
    share = 100 * without.num_flagged / without.num_images
    return (
        f"{without.num_flagged:,} of {without.num_images:,} images ({share:.1f} %) were flagged as copies and left out"
    )


def _flagged(spaces: Mapping[str, Any]) -> Light:
    known = {name: space["copies"] for name, space in spaces.items() if "rate" in space["copies"]}
    if not known:
        reason = next(iter(spaces.values()))["copies"]["reason"]
        return _light("copies", GREY, f"Nothing can be said of copies. {reason}")
    tested = {name: each for name, each in known.items() if each["above_floor"]["is_above"] is not None}
    if not tested:
        reason = next(iter(known.values()))["above_floor"]["reason"]
        return _light("copies", GREY, f"Flagged images cannot be compared with unseen real ones. {reason}")
    above = [name for name, each in tested.items() if each["above_floor"]["is_above"]]
    name = above[0] if above else max(tested, key=lambda name: int(tested[name]["rate"]["count"]))
    rate, floor = tested[name]["rate"], tested[name]["floor"]
    flagged = "is flagged as a copy" if rate["count"] == 1 else "are flagged as copies"
    said = (
        f"{rate['count']:,} of {rate['n']:,} images {flagged} ({name}; at most {100 * rate['high']:.1f} % with 95 % confidence), "
        f"against {floor['count']:,} of {floor['n']:,} unseen real ones{_groups_of(floor)}"
    )
    if above:
        return _light("copies", RED, f"{said}: significantly more.")
    return _light("copies", GREEN, f"{said}: not significantly more.")


def _groups_of(floor: Mapping[str, Any]) -> str:
    """The test takes images as independent: of how many groups they are stands beside it, where groups are known."""
    number = floor.get("num_groups")
    return "" if number is None else f" (of {number:,} {'patient or group' if number == 1 else 'patients or groups'})"


def _membership(report: Mapping[str, Any] | None) -> Light:
    if report is None:
        return _light("membership", GREY, "Nobody has attacked the network that drew these images: audit the set.")
    found = report["privacy"]["membership"]
    auc = found.get("auc")
    if auc is None:
        return _light("membership", GREY, found["reason"])
    if auc["high"] is None:
        return _light("membership", GREY, f"The attack has no interval. {auc.get('reason') or ''}".strip())
    said = f"The attack's AUC is {auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    if auc["high"] > MAX_AUC:
        return _light("membership", RED, f"{said}: its upper bound passes {MAX_AUC:.3f}.")
    return _light("membership", GREEN, f"{said}: its upper bound stays within {MAX_AUC:.3f}.")


def unmeasured(reason: str = NOT_HERE) -> Light:
    """The light of utility while no study has measured it."""
    return _light("utility", GREY, reason)


def utility(*, study: str, tables: Sequence[Mapping[str, Any]]) -> Light:
    """What the newest study says, of all its networks on the locked test images of its own dataset.

    study: its name in the sentence. tables: of its answer, as summarise_study makes them.
    """
    own = [table for table in tables if table["tested_on"] == "own"]
    missing = [f"{table['architecture']}: {reason}" for table in own if (reason := _why_not(table))]
    networks = [_network(table) for table in own if not _why_not(table)]
    failed = sorted((each for each in networks if not each.passes), key=lambda each: each.ratio)
    if failed:
        return _light("utility", RED, f"{study}: {_rule(failed, len(networks))} {_named(failed)}. {_basis(networks)}")
    if missing or not networks:
        reasons = " ".join(missing[:MOST_NAMED]) or "It has no network."
        return _light("utility", GREY, f"{study} cannot say what the images teach. {reasons}")
    return _light(
        "utility",
        GREEN,
        f"{study}: {_rule([], len(networks))} {_named(sorted(networks, key=lambda each: each.ratio))}. {_basis(networks)}",
    )


def _row(table: Mapping[str, Any], arm: Arm) -> Mapping[str, Any] | None:
    """The arm's row: of size 1 or, where there is none, of the largest size. None: the study has no such arm."""
    rows = [row for row in table["rows"] if row["arm"] == arm]
    return max(rows, key=lambda row: (row["size"] == 1, row["size"] or 0), default=None)


def _why_not(table: Mapping[str, Any]) -> str:
    """Why a network was not measured; empty if it was."""
    for arm in (Arm.SYNTHETIC, Arm.REAL_EQUAL):
        row = _row(table, arm)
        if row is None:
            return f"the study has no arm {arm}; launch one that has."
        figure = row.get("mean", {}).get("balanced_accuracy", {})
        if figure.get("value") is None:
            return f"no test of the arm {arm} succeeded; try its jobs again."
        if figure["low"] is None:
            return f"the arm {arm} has no interval. {figure.get('reason', '')}".strip()
    return ""


def _network(table: Mapping[str, Any]) -> _Network:
    synthetic, real = _row(table, Arm.SYNTHETIC), _row(table, Arm.REAL_EQUAL)
    assert synthetic is not None, "_why_not is empty"
    assert real is not None, "_why_not is empty"
    figure = synthetic["mean"]["balanced_accuracy"]
    return _Network(
        table["architecture"], figure["value"], figure["low"], figure["high"], real["mean"]["balanced_accuracy"]["value"],
        1 / table["num_classes"], synthetic["size"], min(len(row["mean"]["seeds"]) for row in (synthetic, real)), table["num_images"],
    )  # fmt: skip


def _rule(failed: Sequence[_Network], total: int) -> str:
    asked = f"{100 * MIN_RATIO:.0f} % of what the real images behind them teach, with an interval above chance"
    networks = f"{total} {'network' if total == 1 else 'networks'}"
    if failed:
        return f"trained on synthetic images alone, {len(failed)} of {networks} {'misses' if len(failed) == 1 else 'miss'} {asked}:"
    return f"trained on synthetic images alone, {'the network reaches' if total == 1 else f'all {networks} reach'} {asked}:"


def _named(networks: Sequence[_Network]) -> str:
    """The worst ones, with their figures."""
    rest = len(networks) - MOST_NAMED
    return "; ".join(each.words for each in networks[:MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _basis(networks: Sequence[_Network]) -> str:
    seeds, images = min(each.num_seeds for each in networks), min(each.num_images for each in networks)
    return (
        f"Balanced accuracy, mean of {seeds:,} {'seed' if seeds == 1 else 'seeds'}, on {images:,} locked test images; "
        f"size {networks[0].size:g} of the synthetic images; chance is {networks[0].chance:.3f}."
    )
