"""Which jobs a study takes: worked out from its spec and the dataset's version alone, before any row is written."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_

from app.core import naming
from models import Arm, DatasetVersion, JobKind, Split, StudyStep, TrainOn
from models.specs import EvaluateSpec, ExplainSpec, StudySpec, TrainClassifierSpec, TrainDiffusionSpec
from models.specs.audit import mirrors_of
from models.specs.study import EXPLAINED_SEEDS, FIXED, SIZED, explained_arms

DIFFUSION, SAMPLES, AUDIT = "diffusion", "samples", "audit"
DRAWN = "drawn"  # in the cell of a step that draws or audits: the size of its set
OWN, SYNTHETIC = "own", "synthetic"  # what a classifier is tested on, beside the names of external datasets
NOT_IN_KEY = {
    "name", "dataset_id", "num_parts",
}  # fmt: skip  # a version says more than its dataset; names and parts change no result
DRAWS = or_(StudyStep.name == SAMPLES, StudyStep.name.startswith(f"{SAMPLES}/"))
AUDITS = or_(StudyStep.name == AUDIT, StudyStep.name.startswith(f"{AUDIT}/"))
EXPLAINS = StudyStep.name.startswith("explain/")
# Options that let a job go on and change nothing of what it makes: in its key as if nobody had asked for them.
WITHOUT_EFFECT = {JobKind.TRAIN_CLASSIFIER: {"accept_leaks": False}}
CONTINUED = (JobKind.SAMPLE, "synthetic_set_id")  # nor does the set whose images are taken over, not drawn again
# Counted up when a release makes a job give another result for the same options: older results are not taken over then.
REVISIONS = {JobKind.TRAIN_CLASSIFIER: 2, JobKind.SAMPLE: 2}


@dataclass(frozen=True)
class Planned:
    """A step that is to be done or found done. draft: its spec but for the options in `needs`: {option: name of a step}."""

    name: str
    kind: JobKind
    draft: dict[str, Any]
    title: str
    needs: dict[str, str] = field(default_factory=dict)
    cell: dict[str, Any] = field(default_factory=dict)


def filled_in(spec: StudySpec) -> StudySpec:
    """The spec with every option of its jobs, so that a later release, whose defaults may be others, reads what was meant."""
    diffusion = spec.diffusion_spec()
    mirrors = mirrors_of(hflip=diffusion.hflip, vflip=diffusion.vflip)
    audit = spec.audit_spec(**{"mirrors": mirrors, **spec.audit})
    jobs = {
        "diffusion": diffusion,
        "sampling": spec.sample_spec(),
        "audit": audit,
        "classifier": spec.classifier_spec(),
    }
    options = {name: job.model_dump(mode="json", exclude=FIXED[name]) for name, job in jobs.items()}
    for name in {"per_class", "counts"} - set(spec.sampling):  # as many as the real images that were learnt
        del options["sampling"][name]
    return spec.model_copy(update=options)


def steps(
    spec: StudySpec, version: DatasetVersion, *, image_ids: Sequence[int] = (), drawn: Sequence[float] = ()
) -> list[Planned]:
    """Every step but the summary, each after those it needs.

    image_ids: the test images to explain. drawn: the sizes of the synthetic sets, each of which continues the one before,
    where the study was extended by larger sizes; one set of the largest size, if not given.
    """
    planner = _Planner(spec, version, sorted(drawn) or [max(spec.sizes)])
    planned = [*planner.drawing()]
    for cell in cells(spec):
        planned += planner.of_cell(cell)
    return [*planned, *planner.explaining(image_ids)]


def cells(spec: StudySpec) -> list[dict[str, Any]]:
    """What is trained: {arm, architecture, size, seed}; size is None where an arm has no synthetic images."""
    return [
        {"arm": str(arm), "architecture": architecture, "size": size, "seed": seed}
        for architecture in spec.architectures
        for arm in spec.arms
        for size in (sorted(spec.sizes) if arm in SIZED else [None])
        for seed in spec.seeds
    ]


def step_keys(planned: Sequence[Planned]) -> dict[str, str]:
    """Of each step by name: a hash of its kind and revision, its options and the keys of what it needs. Equal keys, equal results."""
    keys: dict[str, str] = {}
    for step in planned:
        draft = {**step.draft, **WITHOUT_EFFECT.get(step.kind, {})}
        options = {name: value for name, value in draft.items() if name not in NOT_IN_KEY}
        needs = {option: keys[needed] for option, needed in step.needs.items() if (step.kind, option) != CONTINUED}
        kind = [str(step.kind), REVISIONS[step.kind]] if step.kind in REVISIONS else str(step.kind)
        text = json.dumps([kind, options, needs], sort_keys=True)
        keys[step.name] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def budget(spec: StudySpec, version: DatasetVersion) -> dict[str, int]:
    """About how many real images of each class the diffusion network learns: the budget that arms share."""
    share = spec.diffusion_spec().train_share
    return {name: max(1, round(version.counts.get(name, {}).get(Split.TRAIN, 0) * share)) for name in version.classes}


def synthetic_counts(spec: StudySpec, version: DatasetVersion, *, size: float | None = None) -> dict[str, int]:
    """How many images of each class the set of a size has; of the largest size, if none is given."""
    sample = spec.sample_spec()
    if {"per_class", "counts"} & set(spec.sampling):
        base = {name: (sample.counts or {}).get(name, sample.per_class or 0) for name in version.classes}
    else:
        base = budget(spec, version)
    size = max(spec.sizes) if size is None else size
    return {name: max(1, round(number * size)) if number else 0 for name, number in base.items()}


class _Planner:
    def __init__(self, spec: StudySpec, version: DatasetVersion, drawn: Sequence[float]) -> None:
        self._spec, self._version, self._drawn = spec, version, drawn
        self._diffusion: TrainDiffusionSpec = spec.diffusion_spec(version_id=version.id)
        self._dataset = naming.shortened(version.dataset.name)
        classifier = spec.classifier_spec()
        self._steps_per_epoch = max(2, round(sum(budget(spec, version).values()) / classifier.batch_size))

    def drawing(self) -> Iterator[Planned]:
        """The diffusion training, its samples, and their audit, which leaves the copies out; where an arm needs them.

        Each further set continues the one before.
        """
        if not any(arm in SIZED or arm == Arm.SYNTHETIC_TEST for arm in self._spec.arms):
            return
        diffusion = self._diffusion
        yield Planned(
            DIFFUSION, JobKind.TRAIN_DIFFUSION, diffusion.model_dump(mode="json", exclude={"kind"}),
            f"Diffusion on {self._dataset}: {diffusion.preset}, {diffusion.image_size} px, {diffusion.num_steps:,} steps",
        )  # fmt: skip
        continued: dict[str, str] = {}
        for size in self._drawn:
            samples = self._samples(size, continued)
            yield samples
            yield self._audit(size, samples.name)
            continued = {"synthetic_set_id": samples.name}

    def _samples(self, size: float, continued: Mapping[str, str]) -> Planned:
        counts = synthetic_counts(self._spec, self._version, size=size)
        total = sum(counts.values())
        name = f"{self._dataset}, {total:,} images, seed {self._spec.sample_spec().seed}"
        sample = self._spec.sample_spec(per_class=None, counts=counts, name=name)
        draft = sample.model_dump(mode="json", exclude={"kind", "checkpoint_id", "synthetic_set_id"})
        needs = {"checkpoint_id": DIFFUSION, **continued}
        title = f"{total:,} images of {self._dataset}"
        return Planned(self._of_size(SAMPLES, size), JobKind.SAMPLE, draft, title, needs, {DRAWN: size})

    def _audit(self, size: float, samples: str) -> Planned:
        where = {"version_id": self._version.id, "dataset_id": self._version.dataset_id}
        spec = filled_in(self._spec).audit_spec(**where)
        draft = spec.model_dump(mode="json", exclude={"kind", "synthetic_set_id"})
        title, needs = f"Audit of the images of {self._dataset}", {"synthetic_set_id": samples}
        return Planned(self._of_size(AUDIT, size), JobKind.AUDIT_SET, draft, title, needs, {DRAWN: size})

    def _of_size(self, name: str, size: float) -> str:
        """The step's name: those of the first set go without a size."""
        return name if size == self._drawn[0] else f"{name}/size {size:g}"

    def of_cell(self, cell: Mapping[str, Any]) -> Iterator[Planned]:
        """A training with its tests; the test on synthetic images is of the network that `real_equal` trains."""
        trained = f"train/{path_of({**cell, 'arm': str(_trained_as(cell))})}"
        if cell["arm"] != Arm.SYNTHETIC_TEST:
            yield self._training(trained, cell)
            yield self._test(
                trained, cell, OWN, {"version_id": self._version.id, "dataset_id": self._version.dataset_id}
            )
            for name, test in self._spec.external.items():
                where = {"dataset_id": test.dataset_id, "version_id": test.version_id, "split": "all"}
                accept = self._spec.accepts_leaks(name)
                yield self._test(trained, cell, name, {**where, "class_map": test.class_map, "accept_leaks": accept})
        else:
            if Arm.REAL_EQUAL not in self._spec.arms:
                yield self._training(trained, {**cell, "arm": str(Arm.REAL_EQUAL)})
            yield self._test(trained, cell, SYNTHETIC, {}, {"synthetic_set_id": AUDIT})

    def explaining(self, image_ids: Sequence[int]) -> Iterator[Planned]:
        """Of the first network: both arms with the first seed, and with the second, which says what a seed alone changes."""
        options, arms = self._spec.explanations, explained_arms(self._spec)
        if options is None or arms is None or not image_ids:
            return
        size = {Arm.SYNTHETIC: self._drawn[0]}
        for number, seed in enumerate(self._spec.seeds[:EXPLAINED_SEEDS]):
            for arm in arms:
                cell = {
                    "arm": str(arm),
                    "architecture": self._spec.architectures[0],
                    "size": size.get(arm),
                    "seed": seed,
                }
                repeats = {} if number == 0 else {"stability_seeds": 0}
                yield self._explanation(cell, {**options.model_dump(exclude={"num_images"}), **repeats}, image_ids)

    def _explanation(self, cell: Mapping[str, Any], options: Mapping[str, Any], image_ids: Sequence[int]) -> Planned:
        spec = ExplainSpec.model_validate({"classifier_id": 0, "image_ids": [*image_ids], **options})
        draft = spec.model_dump(mode="json", exclude={"kind", "classifier_id"})
        path = path_of(cell)
        title = f"LIME of {len(image_ids)} images with {cell['architecture']}, {cell['arm']}, seed {cell['seed']}"
        needs = {"classifier_id": f"train/{path}"}
        return Planned(f"explain/{path}", JobKind.EXPLAIN, draft, title, needs, {**cell, "explained_on": OWN})

    def _training(self, name: str, cell: Mapping[str, Any]) -> Planned:
        arm, architecture, seed = Arm(cell["arm"]), cell["architecture"], cell["seed"]
        options, needs = self._what_is_learnt(arm, cell["size"])
        learnt = str(arm) if cell["size"] is None else f"{arm} x{cell['size']:g}"
        spec: TrainClassifierSpec = self._spec.classifier_spec(
            version_id=self._version.id, architecture=architecture, seed=seed, image_size=self._diffusion.image_size,
            fit=self._diffusion.fit, steps_per_epoch=self._steps_per_epoch,
            name=naming.classifier(self._dataset, architecture=architecture, learnt=learnt, seed=seed), **options,
        )  # fmt: skip
        draft = spec.model_dump(mode="json", exclude={"kind", *needs})
        title = f"Classifier on {self._dataset}: {architecture}, {learnt}, seed {seed}"
        return Planned(name, JobKind.TRAIN_CLASSIFIER, draft, title, needs, dict(cell))

    def _what_is_learnt(self, arm: Arm, size: float | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Options that differ between the arms, and what they need."""
        budgeted = {"train_share": self._diffusion.train_share}
        if arm == Arm.REAL:
            return {}, {}
        if arm == Arm.REAL_EQUAL:
            return budgeted, {}
        if arm == Arm.REAL_AUGMENTED:
            mirrors = {"hflip": self._diffusion.hflip, "vflip": self._diffusion.vflip}
            return {**budgeted, **mirrors, "augment": self._spec.augmentation}, {}
        train_on = TrainOn.SYNTHETIC if arm == Arm.SYNTHETIC else TrainOn.BOTH
        wanted = size or 1.0
        drawn = next(each for each in self._drawn if each >= wanted)
        share = round(wanted / drawn, 6)
        of_synthetic = {"train_on": str(train_on), "synthetic_set_id": 0, "synthetic_share": share}
        return (of_synthetic if arm == Arm.SYNTHETIC else budgeted | of_synthetic), {
            "synthetic_set_id": self._of_size(AUDIT, drawn)
        }

    def _test(
        self,
        trained: str,
        cell: Mapping[str, Any],
        tested_on: str,
        where: dict[str, Any],
        more: Mapping[str, str] | None = None,
    ) -> Planned:
        accept = self._spec.accepts_leaks()
        spec = EvaluateSpec.model_validate({"classifier_id": 0, "accept_leaks": accept, **where})
        needs = {"classifier_id": trained, **(more or {})}
        title = f"Test of {cell['architecture']}, {cell['arm']}, seed {cell['seed']} on {self._tested(tested_on)}"
        name = f"test/{path_of(cell)}/{tested_on}"
        draft = spec.model_dump(mode="json", exclude={"kind", *needs})
        return Planned(name, JobKind.EVALUATE, draft, title, needs, {**cell, "tested_on": tested_on})

    def _tested(self, tested_on: str) -> str:
        return {OWN: self._dataset, SYNTHETIC: "the synthetic set"}.get(tested_on, tested_on)


def _trained_as(cell: Mapping[str, Any]) -> Arm:
    arm = Arm(cell["arm"])
    return Arm.REAL_EQUAL if arm == Arm.SYNTHETIC_TEST else arm


def path_of(cell: Mapping[str, Any]) -> str:
    """A cell as it is written in the names of its steps."""
    size = f"size {cell['size']:g}/" if cell["size"] is not None else ""
    return f"{cell['arm']}/{cell['architecture']}/{size}seed {cell['seed']}"
