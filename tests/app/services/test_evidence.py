"""Two studies' audits, lights and explanations beside each other: nothing is called equal of which a figure differs or is missing."""

import copy
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.storage import Storage
from app.services import studies
from app.services.identity import Identity
from app.services.studies import comparing, reproducing
from app.services.studies.evidence import EvidenceComparison
from models import Audit, DatasetVersion, Explanation, JobKind, JobState, Study
from tests import factories
from tests.app.pages import study_data
from tests.audit_data import cleared

ARMS = ["real_equal", "synthetic"]


@pytest.fixture
def version(session: Session, who: Identity, storage: Storage) -> DatasetVersion:
    return factories.dataset_with_version(session, who, num_images=60, storage=storage)


def ended(session: Session, who: Identity, made: Study, storage: Storage) -> Study:
    study_data.with_tests(session, who, made)
    study_data.answered(session, made)
    if made.spec["explanations"] is not None:
        study_data.with_explanations(session, who, made, storage)
    return made


def twice(session: Session, who: Identity, version: DatasetVersion, storage: Storage, **options: Any) -> list[Study]:
    """A study and its reproduction, both ended."""
    first = ended(
        session, who, study_data.launched(session, who, version, sizes=[1], **{"arms": ARMS, **options}), storage
    )
    return [first, ended(session, who, reproducing.reproduce(session, who, first), storage)]


def audit_of(session: Session, study: Study) -> Audit:
    found = studies.audit_of(session, studies.progress(session, study))
    assert found is not None
    return found


def part(found: comparing.Comparison, kind: str) -> EvidenceComparison:
    return next(each for each in found.evidence if each.kind == kind)


def differing(found: comparing.Comparison) -> list[tuple[str, Any, Any]]:
    return [(figure.name, figure.a, figure.b) for figure in found.figures if not figure.is_equal]


def test_equal_audits_lights_and_explanations_are_part_of_the_verdict(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage, explanations={"num_images": 4})
    found = comparing.compare(session, a, b)
    assert (found.is_equal, found.verdict) == (True, f"All {len(found.figures):,} figures are equal to the last digit.")
    names = {figure.name for figure in found.figures}
    extractor = "audit.fidelity.extractors.tf_efficientnet_lite0.whole"
    assert {
        *(f"{extractor}.{metric}.synthetic.value" for metric in ("fid", "kid", "precision", "recall", "density", "coverage")),
        f"{extractor}.kid.floor.high", "audit.fidelity.ms_ssim.synthetic.whole.value", "audit.privacy.spaces.pixels.copies.rate.value",
        "audit.privacy.membership.auc.high", "audit.num_flagged", "explanations.summary.deletion_auc.values.synthetic",
        "explanations.summary.insertion_auc.p_holm", "explanations.agreement.overlap", "gate.leakage", "gate.copies",
        "gate.membership", "gate.utility",
    } <= names  # fmt: skip
    assert any(name.startswith("explanations.images.") and name.endswith(".deletion_auc.real_equal") for name in names)
    assert part(found, "audit").a.links == [(f"Audit {audit_of(session, a).id}", f"/audits/{audit_of(session, a).id}")]
    assert [link.name for link in part(found, "explanations").b.links] == [
        "Real, equal budget, seed 0", "Synthetic ×\u00a01, seed 0", "Real, equal budget, seed 1", "Synthetic ×\u00a01, seed 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("fidelity", "extractors", 0, "whole", "fid", "synthetic"), "audit.fidelity.extractors.tf_efficientnet_lite0.whole.fid.synthetic.value"),
        (("fidelity", "ms_ssim", "synthetic", "whole"), "audit.fidelity.ms_ssim.synthetic.whole.value"),
        (("privacy", "spaces", "pixels", "authenticity"), "audit.privacy.spaces.pixels.authenticity.value"),
        (("privacy", "membership", "auc"), "audit.privacy.membership.auc.value"),
    ],
)  # fmt: skip
def test_one_bit_of_an_audit_is_a_difference(session, who, version, storage, place, name) -> None:
    a, b = twice(session, who, version, storage)
    audit = audit_of(session, b)
    audit.report = report = copy.deepcopy(audit.report)
    for key in place:
        report = report[key]
    was = report["value"]
    report["value"] = was * (1 + 2**-50)
    session.flush()
    found = comparing.compare(session, a, b)
    assert differing(found) == [(name, was, report["value"])]
    assert not found.is_equal
    assert found.verdict == f"1 of {len(found.figures):,} figures differ: 1 of the audits and lights."


def test_another_light_is_a_difference_and_has_no_size(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage)
    for study in (a, b):
        cleared(session, audit_of(session, study))
    audit = audit_of(session, b)
    audit.report = {**audit.report, "images": {**audit.report["images"], "was_learnt": False}}
    session.flush()
    found = comparing.compare(session, a, b)
    assert differing(found) == [("gate.copies", "green", "grey")]
    assert not found.is_equal
    assert next(figure for figure in found.figures if figure.name == "gate.copies").difference is None


def test_one_bit_of_an_explanation_is_a_difference_beside_those_of_the_classifiers(
    session, who, version, storage
) -> None:
    a, b = twice(session, who, version, storage, explanations={"num_images": 4})
    answer = copy.deepcopy(b.answer)
    answer["explanations"]["agreement"]["overlap"] += 2**-50
    answer["tables"][0]["rows"][0]["mean"]["accuracy"]["value"] += 0.125
    b.answer = answer
    session.flush()
    found = comparing.compare(session, a, b)
    assert found.verdict == (
        f"2 of {len(found.figures):,} figures differ: 1 of the classifiers, by at most 0.12; 1 of the explanations."
    )


def test_numbers_of_rows_are_no_figures(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage, explanations={"num_images": 4})
    audit = audit_of(session, b)
    audit.report = copy.deepcopy(audit.report)
    audit.report["privacy"]["spaces"]["pixels"]["memorised"]["train"] = [{"train": 99, "copies": 1}]
    audit.report["privacy"]["spaces"]["pixels"]["copies"]["suspected_leaks"] = [{"held_out": 98, "train": 99}]
    session.flush()
    items = [each.answer["explanations"]["images"][0]["items"] for each in (a, b)]
    assert items[0] != items[1]
    assert comparing.compare(session, a, b).is_equal


def test_what_only_one_has_is_said_and_is_not_called_equal(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage, explanations={"num_images": 4})
    session.delete(audit_of(session, b))
    b.answer = {
        **b.answer,
        "explanations": {**b.answer["explanations"], "reason": "synthetic: Memory ran out.", "images": []},
    }
    session.flush()
    found = comparing.compare(session, a, b)
    assert not found.is_equal
    assert found.verdict == (
        f"All {len(found.figures):,} figures are equal to the last digit. Only study {a.id} has an audit of size 1. "
        f"Only study {a.id} has explanations."
    )
    assert [(each.a.missing, each.b.missing, each.figures) for each in found.evidence] == [
        ("", "It was deleted.", []), ("", "synthetic: Memory ran out.", []),
    ]  # fmt: skip


def test_an_audit_of_another_size_or_that_failed_is_named(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage)
    (job,) = [each.job for each in studies.progress(session, b).steps if each.job.kind == JobKind.AUDIT_SET]
    job.state, job.result, job.error = JobState.FAILED, None, {"detail": "The disk is full."}
    other = ended(session, who, study_data.launched(session, who, version, sizes=[2], arms=ARMS), storage)
    assert part(comparing.compare(session, a, b), "audit").b.missing == "The disk is full."
    found = comparing.compare(session, a, other)
    assert [(each.size, each.only, bool(each.figures)) for each in found.evidence] == [
        (1, a.id, False), (2, other.id, False), (None, None, False),
    ]  # fmt: skip


def test_studies_with_neither_say_so_and_may_be_equal(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage, arms=["real_equal", "real_augmented"])
    found = comparing.compare(session, a, b)
    assert found.is_equal
    assert [(each.kind, each.only, each.a.missing) for each in found.evidence] == [
        ("audit", None, "It plans none: its classifiers learn no such synthetic images."), ("explanations", None, "It explains no images."),
    ]  # fmt: skip


def test_jobs_that_made_it_for_both_compare_nothing(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage)
    steps = [{each.step.name: each.step for each in studies.progress(session, study).steps} for study in (a, b)]
    steps[1]["audit"].job_id = steps[0]["audit"].job_id
    session.flush()
    found = comparing.compare(session, a, b)
    assert (found.num_same_jobs, found.is_equal) == (1, False)
    assert found.verdict.endswith(
        "1 of 5 tests, audits and explanations are the same job in both, which compares nothing."
    )


def test_explanations_that_were_deleted_since_are_compared_without_links(session, who, version, storage) -> None:
    a, b = twice(session, who, version, storage, explanations={"num_images": 4})
    for row in session.scalars(select(Explanation)):
        session.delete(row)
    session.flush()
    told = part(comparing.compare(session, a, b), "explanations")
    assert (told.a.links, told.a.missing, bool(told.figures)) == ([], "", True)
