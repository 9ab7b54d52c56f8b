"""What a person can ask of a study: one form, from which all of its jobs follow."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from models.job import JobKind
from models.specs.audit import AuditSpec
from models.specs.base import Spec, more
from models.specs.changing import Resplit
from models.specs.classification import ExplainOptions, TrainClassifierSpec
from models.specs.diffusion import TrainDiffusionSpec
from models.specs.sampling import SampleSpec
from models.study import Arm

# Nafi et al., arXiv 2412.16860: 20 % are learnt; here 10 % of all choose epochs, and 70 % are tested on
PAPER_SPLIT = Resplit(train_percent=20, val_percent=10)
ARCHITECTURES = [
    "vgg19", "vgg16", "resnet50", "resnet101", "densenet121", "densenet201", "inception_v3", "mobilenetv2_100",
]  # fmt: skip
STUDY_ARMS = [Arm.REAL_EQUAL, Arm.SYNTHETIC, Arm.REAL_PLUS_SYNTHETIC, Arm.REAL_AUGMENTED]
EXPLAINED_SEEDS = 2  # of the classifiers: the first is looked at, the second says what a seed alone changes
SIZED = frozenset({Arm.SYNTHETIC, Arm.REAL_PLUS_SYNTHETIC})  # arms of which there is one for each size
FIXED = {
    "diffusion": {"kind", "dataset_id", "version_id", "init_checkpoint_id"},
    "sampling": {"kind", "checkpoint_id", "synthetic_set_id", "name"},
    "audit": {"kind", "synthetic_set_id", "dataset_id", "version_id"},
    "classifier": {
        "kind", "dataset_id", "version_id", "synthetic_set_id", "train_on", "architecture", "seed", "name", "image_size", "fit",
        "train_share", "synthetic_share", "steps_per_epoch", "images_per_class",
    },
}  # fmt: skip
Seeds = list[Annotated[int, Field(ge=0, lt=2**31)]]
Options = dict[str, Any]


class ExternalTest(Spec):
    """Another dataset on which every classifier is tested as well."""

    dataset_id: Annotated[int, Field(description="The dataset; all of its images are tested.")]
    version_id: Annotated[int | None, Field(description="Version of it; the newest if not given.")] = None
    class_map: Annotated[
        dict[str, str] | None,
        Field(description="Class of the study for each class of that dataset, where they differ."),
    ] = None
    accept_leaks: Annotated[
        bool,
        Field(
            description="Go on although images of that dataset are known from training; every figure of this test is marked."
        ),
    ] = False


class StudyExplanations(ExplainOptions):
    """LIME of the same test images with the real-trained and the synthetic-trained classifier of the first network."""

    num_images: Annotated[
        int,
        Field(
            ge=2, le=200, description="Test images, spread over the classes, chosen without a look at any prediction."
        ),
    ] = 16
    stability_seeds: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="Seeds to repeat LIME with; each takes as long again.",
            json_schema_extra=more(unit="seeds"),
        ),
    ] = 1


class StudySpec(Spec):
    """dataset_id, arms, architectures, seeds and sizes span the table; the other options are those of its jobs."""

    dataset_id: Annotated[int, Field(description="Dataset of the real images.")]
    version_id: Annotated[int | None, Field(description="Version of it; the newest if not given.")] = None
    name: Annotated[str, Field(max_length=200, description="Name of the study; made up if empty.")] = ""
    preset: Annotated[
        Literal["studio", "paper"],
        Field(
            description="studio: the version's own splits. paper: its images split anew, or a version that has them so already: 20 % "
            "are learnt, 10 % choose epochs and 70 % are tested on (arXiv 2412.16860)."
        ),
    ] = "studio"
    arms: Annotated[list[Arm], Field(min_length=1, description="What the classifiers learn from: a row each.")] = (
        STUDY_ARMS
    )
    architectures: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(min_length=1, max_length=40, description="timm architectures, each trained on every arm."),
    ] = ARCHITECTURES
    seeds: Annotated[
        Seeds, Field(min_length=1, max_length=50, description="Seeds of the classifiers; three at least say something.")
    ] = [0, 1, 2]  # noqa: RUF012 - Pydantic copies defaults
    sizes: Annotated[
        list[Annotated[float, Field(gt=0, le=100)]],
        Field(
            min_length=1, max_length=12, description="Synthetic images, in multiples of those asked for in sampling."
        ),
    ] = [1.0]  # noqa: RUF012 - Pydantic copies defaults
    external: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=60)], ExternalTest],
        Field(max_length=10, description="Other datasets to test on, by a name of your choice."),
    ] = {}  # noqa: RUF012 - Pydantic copies defaults
    diffusion: Annotated[Options, Field(description="Options of the diffusion training.")] = {}  # noqa: RUF012
    sampling: Annotated[
        Options,
        Field(
            description="Options of the sampling: per_class or counts at size 1; as many as the real images learnt, if not given."
        ),
    ] = {}  # noqa: RUF012 - Pydantic copies defaults
    audit: Annotated[
        Options,
        Field(
            description="Options of the audit of the synthetic images; copies are left out before anything is trained on them."
        ),
    ] = {}  # noqa: RUF012 - Pydantic copies defaults
    classifier: Annotated[Options, Field(description="Options of every classifier, the same for all arms.")] = {}  # noqa: RUF012
    augmentation: Annotated[
        Literal["light", "strong"],
        Field(description="Of the arm real_augmented, with the mirrors of the diffusion training."),
    ] = "light"
    explanations: Annotated[
        StudyExplanations | None,
        Field(
            description="Where the classifiers look: LIME of some test images, real-trained beside synthetic-trained; null: not at all."
        ),
    ] = StudyExplanations()
    num_bootstrap: Annotated[
        int, Field(ge=100, le=100_000, description="Resamples for intervals and tests.", json_schema_extra=more())
    ] = 2000

    @model_validator(mode="after")
    def fits_together(self) -> "StudySpec":
        for name, values in (
            ("arms", self.arms),
            ("architectures", self.architectures),
            ("seeds", self.seeds),
            ("sizes", self.sizes),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one of its values twice.")
        for name, fixed in FIXED.items():
            taken = sorted(fixed & set(getattr(self, name)))
            if taken:
                raise ValueError(f"{name} names {taken[0]}, which the study itself decides; leave it out.")
        self._check_options()
        return self

    def _check_options(self) -> None:
        """The options of the jobs must be right by themselves, before any job exists."""
        checks: tuple[tuple[str, Any], ...] = (
            ("diffusion", self.diffusion_spec), ("sampling", self.sample_spec), ("audit", self.audit_spec), ("classifier", self.classifier_spec),
        )  # fmt: skip
        for name, check in checks:
            try:
                check()
            except ValidationError as error:
                first = error.errors()[0]
                option = ".".join(str(part) for part in (name, *first["loc"]))
                raise ValueError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from error

    def diffusion_spec(self, **more: Any) -> TrainDiffusionSpec:
        return TrainDiffusionSpec.model_validate({"dataset_id": self.dataset_id, **self.diffusion, **more})

    def sample_spec(self, **more: Any) -> SampleSpec:
        asked = {"per_class": 1} if not {"per_class", "counts"} & set(self.sampling) else {}
        return SampleSpec.model_validate({"checkpoint_id": 0, **asked, **self.sampling, **more})

    def audit_spec(self, **more: Any) -> AuditSpec:
        return AuditSpec.model_validate({"synthetic_set_id": 0, **self.audit, **more})

    def classifier_spec(self, **more: Any) -> TrainClassifierSpec:
        """Without augmentation unless asked for, so that `real_augmented` is what augmentation does."""
        return TrainClassifierSpec.model_validate(
            {"dataset_id": self.dataset_id, "augment": "none", **self.classifier, **more}
        )

    def accepts_leaks(self, external: str | None = None) -> bool:
        """Whether tests go on although training knows their images: those on the study's own, or on an external dataset.

        Leaks that are accepted of the study's own splits are accepted of every test.
        """
        accepted = external is not None and self.external[external].accept_leaks
        return accepted or self.classifier_spec().accept_leaks


def explained_arms(spec: StudySpec) -> tuple[Arm, Arm] | None:
    """The two arms whose classifiers are explained side by side; None where the study has no such pair."""
    real = next((arm for arm in (Arm.REAL_EQUAL, Arm.REAL) if arm in spec.arms), None)
    return (real, Arm.SYNTHETIC) if real is not None and Arm.SYNTHETIC in spec.arms else None


class SummariseStudySpec(Spec):
    """The job that makes a study's table of what its evaluations say."""

    kind: Literal[JobKind.SUMMARISE_STUDY] = JobKind.SUMMARISE_STUDY
    study_id: Annotated[int, Field(description="The study.")]
    evaluation_ids: Annotated[
        list[int],
        Field(description="Its evaluations; those there are, if not given.", json_schema_extra={"hidden": True}),
    ] = []  # noqa: RUF012 - Pydantic copies defaults
    explanation_ids: Annotated[
        list[int],
        Field(description="Its explanations; those there are, if not given.", json_schema_extra={"hidden": True}),
    ] = []  # noqa: RUF012 - Pydantic copies defaults
