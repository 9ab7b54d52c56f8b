"""The command `phantom`: the same as the Python client, from a shell.

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 the studio cannot be reached, 130 after Ctrl-C, which stops
waiting and never the job.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from phantom import specfile
from phantom.errors import NoToken, PhantomError, ProblemError, StudioUnreachable
from phantom.jobs import Job
from phantom.studies import Study
from phantom.studio import Studio

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Phantom Studio from a shell. Needs PHANTOM_URL and PHANTOM_TOKEN."
)
datasets = typer.Typer(no_args_is_help=True, help="Real images.")
jobs = typer.Typer(no_args_is_help=True, help="Work: what waits, runs and has ended.")
sets = typer.Typer(no_args_is_help=True, help="Synthetic sets.")
studies = typer.Typer(no_args_is_help=True, help="Studies: whether synthetic images can stand in for real ones.")
audits = typer.Typer(no_args_is_help=True, help="Audits of synthetic sets.")
app.add_typer(datasets, name="datasets")
app.add_typer(jobs, name="jobs")
app.add_typer(sets, name="sets")
app.add_typer(studies, name="studies")
app.add_typer(audits, name="audits")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyId = Annotated[int, typer.Argument(help="The study's number.")]
JobId = Annotated[int, typer.Argument(help="The job's number.")]
Images = Annotated[Path, typer.Argument(help="A folder, or a zip, tar, tar.gz or npz.")]
Seed = Annotated[int, typer.Option(help="Fixes the split.")]
GroupBy = Annotated[str | None, typer.Option(help="Column of the table that says the patient.")]
GroupPattern = Annotated[str | None, typer.Option(help="Pattern over the paths that says the patient.")]
LabelBy = Annotated[str | None, typer.Option(help="Column of the table that says the class.")]
OnServer = Annotated[bool, typer.Option("--on-server", help="PATH is on the server; nothing is sent.")]
FAILED, USED_WRONGLY, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Run the command; every error of ours becomes one or two lines and an exit code."""
    try:
        app()
    except PhantomError as error:
        _complain(error)
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@datasets.command("upload")
def upload(
    path: Images,
    name: Annotated[str, typer.Option(help="Name of the dataset.")],
    seed: Seed = 0,
    group_by: GroupBy = None,
    group_pattern: GroupPattern = None,
    label_by: LabelBy = None,
    on_server: OnServer = False,
    as_json: AsJson = False,
) -> None:
    """Upload a folder or an archive, import it and wait until it is ready."""
    with Studio() as studio:
        bring = studio.datasets.upload_server_folder if on_server else studio.datasets.upload
        data = bring(
            path, name=name, group_by=group_by, group_pattern=group_pattern, label_by=label_by, seed=seed,
            progress=not as_json,
        )  # fmt: skip
        health = data.health
        _print(data.data, as_json, f"Dataset {data.id} {data.name!r} is ready.{health}")


@datasets.command("add")
def add(
    dataset: Annotated[str, typer.Argument(help="The dataset's number, or its name.")],
    path: Images,
    seed: Seed = 0,
    group_by: GroupBy = None,
    group_pattern: GroupPattern = None,
    label_by: LabelBy = None,
    on_server: OnServer = False,
    as_json: AsJson = False,
) -> None:
    """Add the images of a folder or an archive to a dataset, as a new version, and wait until it is ready."""
    with Studio() as studio:
        data = studio.datasets.get(int(dataset) if dataset.isdecimal() else dataset)
        data.add(
            path, on_server=on_server, group_by=group_by, group_pattern=group_pattern, label_by=label_by, seed=seed,
            progress=not as_json,
        )  # fmt: skip
        said = f"Dataset {data.id} {data.name!r} is at version {data.version['number']}: {data.version['change']}."
        _print(data.data, as_json, f"{said}{data.health}")


@datasets.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets, newest first."""
    with Studio() as studio:
        rows = [each.data for each in studio.datasets]
    table = [(row["id"], row["name"], row["state"], (row["version"] or {}).get("num_images", "")) for row in rows]
    _print(rows, as_json, _table(("id", "name", "state", "images"), table))


@jobs.command("list")
def list_jobs(
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with Studio() as studio:
        rows = [job.data for job in studio.jobs(kind=kind, state=state, limit=limit)]
    table = [(row["id"], row["kind"], row["title"], row["state"], _done(row)) for row in rows]
    _print(rows, as_json, _table(("id", "kind", "title", "state", "done"), table))


@jobs.command("show")
def show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its state, how far it is, what it made or why it failed."""
    with Studio() as studio:
        row = studio.job(job_id).data
    said = (
        "id",
        "kind",
        "title",
        "state",
        "message",
        "created_at",
        "started_at",
        "finished_at",
        "result",
        "error",
        "spec",
    )
    _print(row, as_json, _table(("", ""), [(name, row[name]) for name in said] + [("done", _done(row))]))


@jobs.command("logs")
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what happened in a job. With --json every event, one a line."""
    with Studio() as studio:
        for event in studio.job(job_id).events(follow=follow):
            if as_json:
                print(json.dumps(event), flush=True)
            elif event["kind"] in ("log", "state"):
                print(_line(event), flush=True)


@jobs.command("cancel")
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Stop a job and keep nothing of it."""
    with Studio() as studio:
        row = studio.job(job_id).cancel().data
    _print(
        row,
        as_json,
        f"Job {job_id} is {row['state']}"
        + (", and stops." if row["cancel_requested"] and not row["finished_at"] else "."),
    )


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(help="A YAML file: one job, or steps.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, step by step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand in the job or the steps of a spec file."""
    steps = specfile.read_steps(spec)
    if specfile.needs_waiting(steps) and not wait:
        raise specfile.SpecError(f"Steps of {spec} use what earlier ones make.", hint="Run it with --wait.")
    made: dict[str, int] = {}
    rows = []
    with Studio() as studio:
        for step in steps:
            job = specfile.start(studio, step, made)
            rows.append(_finish(job, step, made, as_json) if wait else job.data)
            if not as_json:
                print(_outcome(rows[-1]), flush=True)
    if as_json:
        _print(rows if len(steps) > 1 else rows[0], as_json, "")


@studies.command("reproduce")
def reproduce(
    study_id: StudyId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study again with every job anew. With --wait, say whether both agree; exit code 1 if they do not."""
    with Studio() as studio:
        first = studio.studies.get(study_id)
        again = first.reproduce()
        if not wait:
            _print(again.data, as_json, f"Study {again.id} ({again.name}) runs study {study_id} again.")
            return
        found = first.compare(again.wait(progress=not as_json))
        _print(found.data, as_json, f"Studies {study_id} and {again.id}: {found.verdict}")
        if not found.is_equal:
            sys.exit(FAILED)


@sets.command("list")
def list_sets(as_json: AsJson = False) -> None:
    """List synthetic sets, newest first."""
    with Studio() as studio:
        rows = [each.data for each in studio.synthetic_sets]
    table = [(row["id"], row["name"], row["num_images"]) for row in rows]
    _print(rows, as_json, _table(("id", "name", "images"), table))


@sets.command("download")
def download(
    set_id: Annotated[int, typer.Argument(help="The set's number.")],
    folder: Annotated[Path, typer.Argument(help="Where to; made if need be.")],
    as_json: AsJson = False,
) -> None:
    """Download a synthetic set as class folders with metadata.jsonl, a card and gate.json."""
    with Studio() as studio:
        files = studio.synthetic_sets.get(set_id).download(folder)
    _print({"folder": str(folder), "files": [str(file) for file in files]}, as_json, f"{len(files)} files in {folder}")


@sets.command("gate")
def gate(set_id: Annotated[int, typer.Argument(help="The set's number.")], as_json: AsJson = False) -> None:
    """Say whether a synthetic set is releasable. Exit code 1 if its lights are not all green."""
    with Studio() as studio:
        found = studio.synthetic_sets.get(set_id).gate
    override = found.override
    said = [("verdict", "", found.verdict), *found.lights]
    said += [("override", "", f"{override.by}, {override.at}: {override.reason}")] if override is not None else []
    _print(found.data, as_json, _table(("", "", ""), said))
    if not found.is_releasable:
        raise typer.Exit(FAILED)


@audits.command("list")
def list_audits(
    set_id: Annotated[int | None, typer.Option("--set", help="Only those of this synthetic set.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List audits, newest first."""
    with Studio() as studio:
        found = studio.audits.list(limit=limit, synthetic_set_id=set_id)
    table = [
        (
            each.id,
            each.data["synthetic_set_id"],
            each.num_flagged,
            *(light.state for light in each.lights),
            each.data["created_at"],
        )
        for each in found
    ]
    columns = ("id", "set", "flagged", "leakage", "copies", "membership", "utility", "made")
    _print([each.data for each in found], as_json, _table(columns, table))


@audits.command("show")
def show_audit(audit_id: Annotated[int, typer.Argument(help="The audit's number.")], as_json: AsJson = False) -> None:
    """Show what one audit found: its lights with their sentences, and the set to train on."""
    with Studio() as studio:
        audit = studio.audits.get(audit_id)
    said = ("synthetic_set_id", "set_to_train_on_id", "num_images", "num_flagged", "created_at")
    rows = [*audit.lights, *((name, "", audit.data[name]) for name in said)]
    _print(audit.data, as_json, _table(("", "", ""), rows))


@studies.command("list")
def list_studies(as_json: AsJson = False) -> None:
    """List studies, newest first."""
    with Studio() as studio:
        rows = [each.data for each in studio.studies]
    table = [(row["id"], row["name"], row["state"], sum(row["counts"].values())) for row in rows]
    _print(rows, as_json, _table(("id", "name", "state", "jobs"), table))


@studies.command("report")
def report(
    study_id: Annotated[int, typer.Argument(help="The study's number.")],
    file: Annotated[Path, typer.Argument(help="Where to: a file that ends in .html or .json.")],
    real_images: Annotated[bool, typer.Option(help="Show pictures of patients; without them, figures alone.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write the report of a study: one page that needs nothing else, or everything that it says as JSON."""
    with Studio() as studio:
        study = studio.studies.get(study_id)
        is_json = file.suffix.lower() == ".json"
        written = study.to_json(file) if is_json else study.report(file, real_images=real_images)
    warning = " It shows patients' images." if real_images and not is_json else ""
    _print({"file": str(written), "size": written.stat().st_size}, as_json, f"Wrote {written}.{warning}")


def _finish(job: Job[Any] | Study, step: specfile.Step, made: dict[str, int], as_json: bool) -> dict[str, Any]:
    job.wait(progress=not as_json)
    identity = specfile.made_id(job)
    if "id" in step and identity is not None:
        made[str(step["id"])] = identity
    return job.data


def _outcome(row: dict[str, Any]) -> str:
    if "answer_job_id" in row:
        return f"Study {row['id']} ({row['name']}) is {row['state']}: {sum(row['counts'].values())} jobs"
    result = ", ".join(f"{name} {value}" for name, value in (row["result"] or {}).items())
    return f"Job {row['id']} ({row['kind']}) is {row['state']}" + (f": {result}" if result else "")


def _done(row: dict[str, Any]) -> str:
    return "" if row["fraction"] is None else f"{row['fraction']:.0%}"


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    said = data.get("text") or data.get("message") or data.get("state") or json.dumps(data)
    return f"{event['created_at']}  {said}"


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(*columns, box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


def _print(data: Any, as_json: bool, text: str | Table) -> None:
    if as_json:
        print(json.dumps(data, indent=2))
    else:
        Console(highlight=False, markup=False).print(text, soft_wrap=isinstance(text, str))


def _complain(error: PhantomError) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": error.message, "hint": error.hint}), file=sys.stderr)
    else:
        print(error, file=sys.stderr)


def _exit_code(error: PhantomError) -> int:
    """422 and 401 are the caller's: a spec that does not hold, a token that is none."""
    match error:
        case StudioUnreachable():
            return UNREACHABLE
        case specfile.SpecError() | NoToken():
            return USED_WRONGLY
        case ProblemError() if error.status in (400, 401, 422):
            return USED_WRONGLY
        case _:
            return FAILED
