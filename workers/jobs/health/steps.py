"""How far a check is: a few steps of unequal length, and within each a line on what it is doing."""

from workers.context import JobContext

NAMES = (
    "Reading what is known of the images",
    "Looking at pictures for the first time",
    "Looking for copies and look-alikes",
    "Measuring sizes and grey levels",
    "Laying thumbnails upon each other",
    "Looking for burnt-in text",
    "Trivial baselines",
    "Writing it down",
)


class Steps:
    def __init__(self, context: JobContext) -> None:
        self._context, self._step = context, 0

    def begin(self, name: str) -> None:
        """One of NAMES, in their order; raises a JobInterrupted to end the job."""
        self._step = NAMES.index(name)
        self.say("")

    def say(self, detail: str) -> None:
        """Where in the step it is."""
        message = f"{NAMES[self._step]}{': ' if detail else '.'}{detail}"
        self._context.report(self._step, len(NAMES), message=message, unit="steps")
