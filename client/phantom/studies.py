"""Studies: one call asks whether synthetic images can stand in for real ones, and gives the table of the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from phantom.errors import JobFailed, StudioUnreachable
from phantom.jobs import PATIENCE_S
from phantom.progress import Progress
from phantom.results import Audit, Result
from phantom.transport import Transport

POLL_S = 2.0


class Row(NamedTuple):
    """A line of a study's table. Figures are of balanced accuracy: the mean over seeds, with its 95 % interval.

    difference: to the arm `reference`, None for that arm itself; p by the paired bootstrap, p_holm corrected for the rows of its
    network and test images. n: test images. failed: the seeds without a result, each with its reason. mcnemar_p, delong_p:
    McNemar's test of right and wrong images, and DeLong's of `auroc`, against the same reference, not corrected.
    known_images, known_patients: tested images that training had seen, as pictures or look-alikes, and by their patients, the largest
    over seeds: above 0 the figures measure memory, too. None: nobody has looked, as on synthetic images.
    """

    network: str
    tested_on: str
    arm: str
    size: float | None
    seeds: list[int]
    n: int | None
    balanced_accuracy: float | None
    low: float | None
    high: float | None
    difference: float | None
    p: float | None
    p_holm: float | None
    failed: dict[int, str]
    reference: str | None
    mcnemar_p: float | None
    auroc: float | None
    delong_p: float | None
    known_images: int | None
    known_patients: int | None


class Difference(NamedTuple):
    """A figure that differs. name: its place in the report, such as mean.balanced_accuracy.low; a, b: None where that study has none.

    seed: None for figures over all seeds; arm: None for figures of a whole table. difference: b minus a. Figures of audits, of the
    gate's lights (green, red or grey) and of explanations have no network; their names begin with audit, gate or explanations.
    """

    network: str | None
    tested_on: str | None
    arm: str | None
    size: float | None
    seed: int | None
    name: str
    a: float | str | None
    b: float | str | None
    difference: float | None


class Comparison:
    """Two studies side by side; `data` is everything that the studio says of it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<Comparison of studies {self.data['a']} and {self.data['b']}: {self.verdict}>"

    @property
    def verdict(self) -> str:
        """In a sentence."""
        return str(self.data["verdict"])

    @property
    def is_equal(self) -> bool:
        """Both have the same figures, all equal to the last digit, and each was made twice."""
        return bool(self.data["is_equal"])

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The options that differ: name, a, b."""
        return list(self.data["settings"])

    @property
    def ran_with(self) -> list[dict[str, Any]]:
        """The device, threads and packages that differ, as the jobs have noted them: name, a, b."""
        return list(self.data["ran_with"])

    @property
    def files(self) -> list[dict[str, Any]]:
        """What each step made, by hash: name, what, a, b, outcome ("same bytes", "differs", "not there" or "one job")."""
        return list(self.data["files"])

    @property
    def differing(self) -> list[Difference]:
        """Every figure that is not equal to the last digit."""
        found: list[Difference] = []
        for table in self.data["tables"]:
            found += _differing(table, None, None, table["figures"])
            for row in table["rows"]:
                found += _differing(table, row, None, row["figures"])
                for seed in row["seeds"]:
                    found += _differing(table, row, seed["seed"], seed["figures"])
        for each in self.data["evidence"]:
            found += _differing({}, {"arm": None, "size": each["size"]}, None, each["figures"])
        return found

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """Audits with the gate's lights, and explanations: kind, size, figures, and a and b with links and why one has none (missing)."""
        return list(self.data["evidence"])


class Study(Result):
    """A study. `data` is what the studio last said of it; `refresh` asks again."""

    def __repr__(self) -> str:
        done = sum(self.data["counts"].get(state, 0) for state in ("succeeded", "failed", "cancelled"))
        return f"<Study {self.id} {self.name!r}: {self.state}, {done} of {sum(self.data['counts'].values())} jobs>"

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def state(self) -> str:
        """running, succeeded (there is a table), failed or cancelled."""
        return str(self.data["state"])

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.data["spec"])

    def refresh(self) -> Study:
        self.data = self._transport.get(f"/api/v1/studies/{self.id}")
        return self

    def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> Study:
        """Wait until all of its jobs have ended and the table is made; Ctrl-C stops waiting, not the study.

        Raises JobFailed if there is no table, TimeoutError after `timeout_s`.
        """
        began = time.monotonic()
        with Progress(self.name, quiet=not progress) as shown:
            while self.state == "running":
                shown.show(self._as_job())
                if timeout_s is not None and time.monotonic() - began > timeout_s:
                    raise TimeoutError(f"Study {self.id} is still running after {timeout_s:.0f} s; it goes on.")
                time.sleep(POLL_S)
                self._refresh_patiently()
            shown.show(self._as_job())
        if self.state != "succeeded":
            raise JobFailed(
                f"Study {self.id} has no table: {self._why()}",
                hint=f"Look at its jobs: {self.url}",
                code=self.state,
                job=self,
            )
        return self

    def _refresh_patiently(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.refresh()
                return
            except StudioUnreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_S)

    def _as_job(self) -> dict[str, Any]:
        """What the progress bar shows: jobs done of all."""
        counts: Mapping[str, int] = self.data["counts"]
        done, total = sum(counts.get(state, 0) for state in ("succeeded", "failed", "cancelled")), sum(counts.values())
        failed = f", {counts['failed']} failed" if counts.get("failed") else ""
        return {
            "state": self.state, "message": f"{done} of {total} jobs{failed}", "fraction": done / total if total else None,
            "done": done, "total": total, "unit": "jobs", "rate": None, "time_left": None,
        }  # fmt: skip

    def _why(self) -> str:
        job = self._transport.get(f"/api/v1/jobs/{self.data['answer_job_id']}")
        return str((job["error"] or {}).get("detail") or job["message"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Its jobs: name, job_id, state, is_reused, cell."""
        return list(self._transport.get(f"/api/v1/studies/{self.id}/steps")["items"])

    @property
    def answer(self) -> dict[str, Any]:
        """The tables with every metric, test and method, as the studio made them; empty before."""
        return dict(self.data["answer"] or {})

    @property
    def explanations(self) -> dict[str, Any] | None:
        """Where the real-trained and the synthetic-trained network look, on the same test images: images, summary, agreement,
        shortcut ({arm: {is_flagged, sentence}}), and the reason where there is no comparison. None: none asked for, or not ended."""
        found: dict[str, Any] | None = self.answer.get("explanations")
        return found

    @property
    def audit(self) -> Audit | None:
        """The audit of its synthetic images, whose copies were left out before training; None: none, or not ended."""
        made = self.data["audit_id"]
        return Audit(self._transport, self._transport.get(f"/api/v1/audits/{made}")) if made is not None else None

    @property
    def table(self) -> list[Row]:
        """A row for each network, set of test images, arm and size."""
        return [_row(table, row) for table in self.answer.get("tables", []) for row in table["rows"]]

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV."""
        return self._download("table.csv", path)

    def to_latex(self, path: str | Path) -> Path:
        """Write the table as a LaTeX tabular (booktabs)."""
        return self._download("table.tex", path)

    def report(self, path: str | Path, *, real_images: bool = True) -> Path:
        """Write the report as one HTML page that needs nothing else, and prints well.

        It shows training images beside synthetic ones, and explained test images: treat it as patient data, or leave them out
        by real_images=False. All figures stay.
        """
        return self._download("report.html", path, images="all" if real_images else "synthetic")

    def to_json(self, path: str | Path) -> Path:
        """Write everything that the report says as JSON, without pixels."""
        return self._download("report.json", path)

    def to_svg(self, path: str | Path, *, chart: Literal["arms", "curve"] = "arms") -> Path:
        """Write a chart: the arms of every network, or accuracy over the size of the synthetic set (needs two sizes)."""
        return self._download(f"{chart}.svg", path)

    def to_yaml(self, path: str | Path) -> Path:
        """Write the recipe that `phantom run` takes."""
        return self._download("study.yaml", path)

    def _download(self, name: str, path: str | Path, **params: str) -> Path:
        target = Path(path)
        address = f"/api/v1/studies/{self.id}/{name}"
        target.write_bytes(self._transport.send("GET", address, params=params, again=True).content)
        return target

    def extend(self, **more: Any) -> Study:
        """Add architectures, seeds, sizes, arms or external datasets ({name: dataset or options}).

        What is there stays; what was cancelled or deleted of its trainings and tests is made anew. A size above the largest draws the images that are missing, and audits the larger set by itself.
        """
        if "external" in more:
            more["external"] = external_tests(more["external"])
        self.data = self._transport.post(f"/api/v1/studies/{self.id}/extend", more)
        return self

    def reproduce(self) -> Study:
        """Launch it once more with every job anew; returns that study at once. `compare` then says whether they agree."""
        return Study(self._transport, self._transport.post(f"/api/v1/studies/{self.id}/reproduce"))

    def compare(self, other: Study) -> Comparison:
        """This study (a) beside another one (b), figure by figure and file by file."""
        return Comparison(self._transport.get(f"/api/v1/studies/{self.id}/comparison/{other.id}"))

    def cancel(self) -> Study:
        """Cancel its jobs that have not ended and that no other study needs."""
        self.data = self._transport.post(f"/api/v1/studies/{self.id}/cancel")
        return self

    def delete(self) -> None:
        """Delete it and its table; its jobs and what they made stay."""
        self._transport.send("DELETE", f"/api/v1/studies/{self.id}", again=False)


def external_tests(given: Mapping[str, Any]) -> dict[str, Any]:
    """Datasets, or (dataset, class_map), by name, as the REST API takes them."""
    tests: dict[str, Any] = {}
    for name, test in given.items():
        if isinstance(test, Mapping):
            tests[name] = dict(test)
        else:
            dataset, class_map = test if isinstance(test, tuple) else (test, None)
            tests[name] = {"dataset_id": dataset.id, "class_map": class_map}
    return tests


def _row(table: Mapping[str, Any], row: Mapping[str, Any]) -> Row:
    figure = row["mean"]["balanced_accuracy"] if "mean" in row else row.get("balanced_accuracy", {})
    against = row.get("against_reference") or {}
    difference = against.get("difference", {}).get("balanced_accuracy", {})
    counts = against.get("mcnemar") or {}
    return Row(
        table["architecture"], table["tested_on"], row["arm"], row["size"],
        [each["seed"] for each in row["seeds"] if each["evaluation_id"] is not None], table.get("num_images"),
        figure.get("value"), figure.get("low"), figure.get("high"), difference.get("value"), against.get("p"), against.get("p_holm"),
        {each["seed"]: each["reason"] for each in row["seeds"] if each["evaluation_id"] is None}, table.get("reference"),
        (counts.get("by_group") or counts).get("p"), row.get("mean", {}).get("auroc", {}).get("value"), against.get("delong", {}).get("p"),
        _largest(row, "near"), _largest(row, "patients"),
    )  # fmt: skip


def _largest(row: Mapping[str, Any], kind: str) -> int | None:
    """Over the seeds whose test looked for leaks."""
    return max((each["leaks"][kind] for each in row["seeds"] if each.get("leaks") is not None), default=None)


def _differing(
    table: Mapping[str, Any], row: Mapping[str, Any] | None, seed: int | None, figures: Sequence[Mapping[str, Any]]
) -> list[Difference]:
    arm, size = (row["arm"], row["size"]) if row is not None else (None, None)
    return [
        Difference(
            table.get("architecture"), table.get("tested_on"), arm, size, seed, each["name"], each["a"], each["b"], each["difference"],
        )
        for each in figures
        if not each["is_equal"]
    ]  # fmt: skip


def launch(transport: Transport, spec: Mapping[str, Any]) -> Study:
    return Study(transport, transport.post("/api/v1/studies", dict(spec)))
