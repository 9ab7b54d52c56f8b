"""The report of a study: gathered as plain values, drawn as SVG, and rendered as one page that needs nothing else."""

from sqlalchemy.orm import Session

from app.core.errors import NotFoundError
from app.services.studies.reporting import drawing
from app.services.studies.reporting.curves import charts
from app.services.studies.reporting.document import Report
from app.services.studies.reporting.gathering import gather
from app.services.studies.reporting.recipe import study_yaml
from app.services.studies.reporting.rendering import Page, render
from models import DatasetVersion, Study

__all__ = ["Page", "Report", "arms_svg", "curve_svg", "gather", "recipe_of", "render"]


def recipe_of(session: Session, study: Study) -> str:
    """The study as the YAML file that `phantom run` takes."""
    return study_yaml(session, study, session.get_one(DatasetVersion, study.version_id))


def arms_svg(study: Study) -> str:
    """Arms by network, as one file; NotFoundError before the table is made."""
    drawn = charts(study)
    if not drawn.arms:
        raise NotFoundError(
            f"Study {study.id} has no chart of its arms. {drawn.no_arms}", hint="Wait until it has ended."
        )
    return drawing.stacked(drawing.arms(drawn.arms), f"{study.name}: balanced accuracy of each arm")


def curve_svg(study: Study) -> str:
    """Accuracy over the size of the synthetic set, as one file; NotFoundError with one size, or before the table is made."""
    drawn = charts(study)
    if not drawn.curves:
        raise NotFoundError(
            f"Study {study.id} has no curve. {drawn.no_curves}", hint="Extend it by a smaller size, or take arms.svg."
        )
    return drawing.stacked(drawing.curves(drawn.curves), f"{study.name}: balanced accuracy over size")
