"""A worker process whose jobs count slowly instead of computing, so that a test can kill it at a chosen moment.

Everything but the job's own code is the real worker. The count is a file in `checkpoints/`, written every step. Of
the spec, `num_steps` says how many steps there are, `min_snr_gamma` how many seconds each takes, and `warmup_steps` at which the process dies.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from models import Job
from models.specs import TrainDiffusionSpec
from workers.__main__ import main
from workers.context import JobContext, Recorder


def spec(*, num_steps: int, seconds_per_step: float, die_at_step: int = 0) -> dict[str, Any]:
    """The spec, as a job's row keeps it."""
    made = TrainDiffusionSpec(
        dataset_id=1, num_steps=num_steps, min_snr_gamma=seconds_per_step, warmup_steps=die_at_step
    )  # type: ignore[call-arg]  # the preset fills the rest
    return made.model_dump(mode="json")


def count(context: JobContext, spec: TrainDiffusionSpec) -> Recorder:
    """Count to num_steps, going on from what an earlier attempt saved."""
    step = _saved(context)
    if step:
        context.resumed_from(step)
    checkpoint = context.folder / "checkpoints" / "count"
    checkpoint.parent.mkdir()
    started_from = step

    def save() -> None:
        checkpoint.with_suffix(".tmp").write_text(str(step))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    context.on_interrupt(save)
    while step < spec.num_steps and not context.should_stop:
        time.sleep(spec.min_snr_gamma)
        step += 1
        save()
        if step == spec.warmup_steps:
            os.abort()  # a job that kills its worker each time it comes to this step
        context.metric(step, loss=1 / step)
        context.report(step, spec.num_steps, rate=1 / spec.min_snr_gamma)
    return lambda session, job: _record(session, job, step, started_from)


def _saved(context: JobContext) -> int:
    found = [folder / "count" for folder in context.checkpoint_folders() if (folder / "count").exists()]
    return int(found[0].read_text()) if found else 0


def _record(session: Session, job: Job, step: int, started_from: int) -> dict[str, Any]:
    return {"count": step, "started_from": started_from}


ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    sys.exit(main(functions=lambda kind: count))
