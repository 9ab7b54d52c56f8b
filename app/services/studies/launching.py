"""Turn a study's plan into jobs, taking those that are there already, and extend it without doing anything twice."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import architectures, naming, states
from app.core.errors import BadInputError, ConflictError
from app.core.submission import add_divided_sampling, add_waiting_job
from app.services import prepare
from app.services.datasets import splitting
from app.services.identity import Identity
from app.services.rows import clean_name, note
from app.services.studies import explaining, external, planning, reusing
from app.services.studies.planning import Planned
from models import Arm, DatasetVersion, Job, JobKind, JobState, Split, Study, StudyStep
from models.specs import StudySpec
from models.specs.study import PAPER_SPLIT, SIZED

SUMMARY = "summary"
NOT_BEGUN = (JobState.WAITING, JobState.QUEUED, JobState.PAUSED)
LEARNING = frozenset({JobKind.TRAIN_CLASSIFIER, JobKind.EVALUATE, JobKind.EXPLAIN})


def launch(session: Session, who: Identity, spec: StudySpec) -> Study:
    """Make the study and all of its jobs; those that nothing has to be waited for begin once the transaction is committed.

    Raises BadInputError, ConflictError or NotFoundError where the spec names what is missing or does not fit.
    """
    architectures.need_known(spec.architectures, pointer="/architectures")
    version = prepare.ready_version(session, who, spec.dataset_id, spec.version_id)
    if spec.preset == "paper":
        version = splitting.resplit(session, who, version, PAPER_SPLIT)
    check(session, who, spec, version)
    external.need_unseen(session, who, spec, version)
    complete = planning.filled_in(spec).model_copy(
        update={"version_id": version.id, "external": external.named(session, who, spec)}
    )
    study = Study(
        project_id=who.project_id, version_id=version.id, created_by=who.name, spec=complete.model_dump(mode="json"),
        name=clean_name(spec.name) if spec.name.strip() else f"Study of {naming.shortened(version.dataset.name)}",
    )  # fmt: skip
    session.add(study)
    session.flush()
    note(session, who, "launch", study)
    add_steps(session, who, study, explaining.steps(session, complete, version))
    return study


def extend(session: Session, who: Identity, study: Study, asked: Mapping[str, Any]) -> Study:
    """Add architectures, seeds, sizes, arms or external datasets to a study; what is there stays as it is.

    A size above the largest is drawn as a further set, which continues the one that is there. Classifiers and tests that were
    cancelled, or whose results were deleted, are made anew.
    asked: {option: further values}. Raises BadInputError for any other option, and ConflictError for a study of which this
    studio would make what is there otherwise today, or whose synthetic images are not what its classifiers learnt.
    """
    session.refresh(study, with_for_update=True)  # another may be extending it
    spec = StudySpec.model_validate(study.spec)
    need_an_audit(session, study)
    wider = _checked({**spec.model_dump(mode="json"), **_widened(spec, asked)})
    drawn = drawn_sizes(session, study)
    if drawn and drawn[-1] < max(wider.sizes) and any(arm in SIZED for arm in wider.arms):
        drawn.append(max(wider.sizes))
    version = session.get_one(DatasetVersion, study.version_id)
    architectures.need_known(wider.architectures[len(spec.architectures) :], pointer="/architectures")
    check(session, who, wider, version)
    external.need_unseen(session, who, wider, version, but=spec.external)
    wider = wider.model_copy(update={"external": external.named(session, who, wider)})
    planned = explaining.steps(session, wider, version, drawn=drawn, image_ids=explaining.images_of(session, study))
    need_what_today_would_give(session, study, planned, what="extended")
    anew = _lost(session, study, planned)
    study.spec = wider.model_dump(mode="json")
    note(session, who, "extend", study)
    add_steps(session, who, study, planned, anew=anew)
    return study


def drawn_sizes(session: Session, study: Study) -> list[float]:
    """The sizes of the study's synthetic sets, ascending: one, unless it was extended by larger ones; none where it draws none."""
    steps = session.scalars(select(StudyStep).where(StudyStep.study_id == study.id, planning.DRAWS))
    return sorted(float(step.cell[planning.DRAWN]) for step in steps)


def need_an_audit(session: Session, study: Study) -> None:
    """ConflictError for a study of an older studio, whose classifiers learnt the copies as well: new ones would not compare."""
    names = set(session.scalars(select(StudyStep.name).where(StudyStep.study_id == study.id)))
    if planning.SAMPLES in names and planning.AUDIT not in names:
        raise ConflictError(
            f"Study {study.id} was launched before synthetic images were audited, so its classifiers may have learnt copies.",
            hint="Launch a new study; it uses the diffusion training and its images again.",
        )


def need_what_today_would_give(session: Session, study: Study, planned: Sequence[Planned], *, what: str) -> None:
    """ConflictError if a step that is there was made otherwise than it would be now: one table, or one comparison, would mix both.

    what: that cannot be done with the study then ("extended").
    """
    keys, jobs = planning.step_keys(planned), _jobs(session, study)
    older = [step for step in planned if step.name in jobs and jobs[step.name].step_key != keys[step.name]]
    if older:
        raise ConflictError(
            f"Study {study.id} cannot be {what}: an earlier release made {len(older):,} of its {len(jobs):,} steps, and this one would make "
            f"them otherwise ({older[0].name} for one). Results that were made in two ways would be taken for the same.",
            hint="Launch a new study with its options; it uses again what has stayed the same, and makes the rest anew. Two studies can be compared.",
        )


def _lost(session: Session, study: Study, planned: Sequence[Planned]) -> set[str]:
    """The steps of the study that have to be made anew: trainings, tests and explanations of which nothing is left, as far as
    the table, or what is added, needs them; and what rests on these.

    ConflictError where synthetic images that are to be learnt are not there as the study's classifiers have learnt them.
    """
    jobs = _jobs(session, study)
    needed = {name for step in planned for name in step.needs.values()}
    asked_for = {step.name for step in planned if step.kind in LEARNING} - needed
    to_make: set[str] = set()
    for step in reversed(planned):
        if step.name not in asked_for or (step.name in jobs and not reusing.is_lost(session, jobs[step.name])):
            continue
        if step.name in jobs and step.kind not in LEARNING:
            raise _changed(study, jobs[step.name])
        to_make.add(step.name)
        asked_for |= set(step.needs.values())
    anew = to_make & jobs.keys()
    for step in planned:
        if step.name in jobs and anew & set(step.needs.values()):
            anew.add(step.name)
    return anew


def _changed(study: Study, job: Job) -> ConflictError:
    if job.state == JobState.SUCCEEDED:
        why = f"what job {job.id} ({job.title}) made was deleted, or images of it were rejected, since"
    else:
        why = f"job {job.id} ({job.title}) was cancelled"
    return ConflictError(
        f"Study {study.id} cannot be extended: {why}. Further classifiers would not learn what those that are there have learnt.",
        hint="Launch a new study with the wider options; it uses again what is there, and makes the rest anew.",
    )


def _checked(options: Mapping[str, Any]) -> StudySpec:
    """The spec of these options; BadInputError, pointing at the first that is wrong."""
    try:
        return StudySpec.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "/" + "/".join(str(part) for part in first["loc"])
        detail = first["msg"].removeprefix("Value error, ")
        raise BadInputError(
            f"The study cannot be extended so: {detail}", errors=[{"pointer": pointer, "detail": detail}]
        ) from error


EXTENSIBLE = ("architectures", "seeds", "sizes", "arms")


def _widened(spec: StudySpec, asked: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(asked) - {*EXTENSIBLE, "external"})
    if unknown:
        raise BadInputError(
            f"A study cannot be extended by {unknown[0]}.",
            hint=f"Give further {', '.join(EXTENSIBLE)} or external datasets; for other options launch another study.",
        )
    wider: dict[str, Any] = {}
    for name in EXTENSIBLE:
        had = [getattr(value, "value", value) for value in getattr(spec, name)]
        wider[name] = [*had, *(value for value in asked.get(name, []) if value not in had)]
    taken = sorted(set(asked.get("external", {})) & set(spec.external))
    if taken:
        there = spec.external[taken[0]]
        raise BadInputError(
            f"The study tests on an external dataset {taken[0]!r} already: dataset {there.dataset_id}, version {there.version_id}.",
            hint="Give the further one another name.",
            errors=[{"pointer": f"/external/{taken[0]}", "detail": "there is one of this name"}],
        )
    had_external = {name: test.model_dump() for name, test in spec.external.items()}
    wider["external"] = {**had_external, **asked.get("external", {})}
    return wider


def check(session: Session, who: Identity, spec: StudySpec, version: DatasetVersion) -> None:
    """Raise what `prepare` would raise for the study's jobs, before any of them is written down, nor perhaps the version."""
    prepare.need_images_to_draw_like(version, spec.diffusion_spec())
    sample = spec.sample_spec()
    unknown = sorted(set(sample.counts or {}) - set(version.classes))
    if unknown:
        raise BadInputError(
            f"sampling.counts names {unknown[0]!r}; the dataset has {', '.join(version.classes)}.",
            errors=[{"pointer": "/sampling/counts", "detail": f"{unknown[0]!r} is not a class of the dataset"}],
        )
    counts = planning.synthetic_counts(spec, version)
    prepare.need_as_many_blocks(sample, list(counts.values()), pointer="/sampling/num_parts")
    total = sum(counts.values())
    if total > prepare.MOST_IMAGES:
        raise BadInputError(
            f"The largest size draws {total:,} images; one set holds at most {prepare.MOST_IMAGES:,}.",
            hint="Ask for smaller sizes.",
        )
    prepare.need_images_to_classify(session, version, spec.classifier_spec())
    if not any(version.counts[name].get(Split.TEST, 0) for name in version.classes):
        raise BadInputError(
            "The version has no test image, so nothing can be said about its arms.",
            hint="Split it anew, with a test part.",
        )
    _need_augmentation(spec)
    for name, test in spec.external.items():
        _need_own_name(name)
        other = prepare.ready_version(session, who, test.dataset_id, test.version_id)
        prepare.need_comparable(
            other, version.classes, version.channels, class_map=test.class_map, what=f"external {name!r}"
        )


def _need_own_name(external: str) -> None:
    """BadInputError for a dataset that is called as the study's own tests are."""
    if external in (planning.OWN, planning.SYNTHETIC):
        raise BadInputError(
            f"An external dataset cannot be called {external!r}: a study's own tests are.",
            hint="Give it another name.",
            errors=[{"pointer": f"/external/{external}", "detail": "taken by the study itself"}],
        )


def _need_augmentation(spec: StudySpec) -> None:
    """BadInputError where the arm that is augmented would not differ from the others by it."""
    if Arm.REAL_AUGMENTED in spec.arms and spec.classifier.get("augment") == spec.augmentation:
        raise BadInputError(
            f"classifier.augment gives all arms the augmentation {spec.augmentation!r}, and so does augmentation to real_augmented: that arm would not differ.",
            hint="Give real_augmented another augmentation, the other arms less, or leave that arm out.",
            errors=[{"pointer": "/augmentation", "detail": f"all arms have {spec.augmentation!r}"}],
        )


def add_steps(
    session: Session, who: Identity, study: Study, planned: Sequence[Planned], *, anew: Collection[str] = ()
) -> None:
    """Write down the steps that the study does not have yet, those of `anew` in place of what was lost, and the summary that
    follows all of them.

    A study that reproduces another takes nothing over, now or when it is extended, and that one takes nothing of its: else
    they would be compared with themselves.
    """
    rows = {row.name: row for row in session.scalars(select(StudyStep).where(StudyStep.study_id == study.id))}
    mine = {name: job for name, job in _jobs(session, study).items() if name not in anew}
    known = dict(mine)
    if study.reproduces_id is None:
        known = reusing.found(session, who, planned, mine=mine, apart=_jobs_of_reproductions(session, study))
    jobs, keys = dict(mine), planning.step_keys(planned)
    for position, step in enumerate(planned):
        if step.name in mine:
            continue
        job = jobs[step.name] = known.get(step.name) or _add(session, who, step, keys[step.name], jobs)
        row = rows.get(step.name) or StudyStep(study_id=study.id, name=step.name, position=position, cell=step.cell)
        row.job_id, row.is_reused = job.id, step.name in known
        session.add(row)
    session.flush()
    summarise(session, who, study)


def _jobs(session: Session, study: Study) -> dict[str, Job]:
    """The job of each step that the study has."""
    query = select(StudyStep.name, Job).join(Job, Job.id == StudyStep.job_id).where(StudyStep.study_id == study.id)
    return dict(session.execute(query).all())


def _add(session: Session, who: Identity, step: Planned, key: str, jobs: Mapping[str, Job]) -> Job:
    needs = {option: jobs[name] for option, name in step.needs.items()}
    about: dict[str, Any] = {"project_id": who.project_id, "created_by": who.name, "title": step.title, "step_key": key}
    if step.draft.get("num_parts", 1) > 1:
        return add_divided_sampling(session, step.draft, needs, counts=list(step.draft["counts"].values()), **about)
    return add_waiting_job(session, step.kind, step.draft, needs, **about)


def _jobs_of_reproductions(session: Session, study: Study) -> set[int]:
    query = select(StudyStep.job_id).join(Study, Study.id == StudyStep.study_id)
    return set(session.scalars(query.where(Study.reproduces_id == study.id)))


def summarise(session: Session, who: Identity, study: Study) -> Job:
    """Ask for the study's table, made when all of its evaluations and explanations have ended; one that has not begun is replaced.

    One that is being made goes on, and is followed by the new one.
    """
    steps = session.scalars(select(StudyStep).where(StudyStep.study_id == study.id).order_by(StudyStep.position)).all()
    tests, explained = (
        [session.get_one(Job, step.job_id) for step in steps if of in step.cell] for of in ("tested_on", "explained_on")
    )
    old = _answer(session, study)
    if old is not None and old.state in NOT_BEGUN:
        states.move(session, old, JobState.CANCELLED, message="Another table takes its place.")
    job = add_waiting_job(
        session, JobKind.SUMMARISE_STUDY, {"study_id": study.id, "evaluation_ids": [], "explanation_ids": []},
        {"evaluation_ids": tests, "explanation_ids": explained}, soft={"evaluation_ids", "explanation_ids"},
        project_id=who.project_id, created_by=who.name, title=f"Table of {study.name}",
    )  # fmt: skip
    study.answer_job_id = job.id
    session.flush()
    return job


def summarise_again(session: Session, who: Identity, retried: Job) -> None:
    """A job is tried again: tables that were made without it, or would be, are made anew after it."""
    mine = select(StudyStep.study_id).where(StudyStep.job_id == retried.id)
    for study in session.scalars(select(Study).where(Study.id.in_(mine)).order_by(Study.id)):
        answer = _answer(session, study)
        if answer is None or answer.state != JobState.WAITING:  # one that waits, waits for the retried job as well
            summarise(session, who, study)


def _answer(session: Session, study: Study) -> Job | None:
    """The job that makes the study's newest table, locked: a worker may be about to begin it."""
    if study.answer_job_id is None:
        return None
    return session.get(Job, study.answer_job_id, with_for_update=True, populate_existing=True)
