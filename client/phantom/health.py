"""What the studio found out about a dataset's images."""

from typing import Any

SHOWN = 12  # findings that are printed


class Health(dict[str, Any]):
    """The health of a version as the REST API gives it; prints as a few lines, the first of them empty."""

    @property
    def findings(self) -> list[dict[str, Any]]:
        """{kind, severity, title, meaning, action, count, image_ids, link}, the worst first."""
        return list(self["findings"])

    def __str__(self) -> str:
        sizes, duplicates, refused = self["sizes"], self["duplicates"], self["refused"]
        balance = ", ".join(f"{name} {share:.0%}" for name, share in self["class_balance"].items())
        modes = ", ".join(f"{mode} {number}" for mode, number in self["modes"].items())
        spans = "{groups} groups, {across_splits} across splits, {across_classes} across classes".format(**duplicates)
        left_out = ", ".join(f"{number} {kind}" for kind, number in refused.items())
        return "\n".join(
            [
                "",
                f"images      {self['num_images']}  ({balance})",
                f"sizes       {sizes['width']['min']}x{sizes['height']['min']} to {sizes['width']['max']}x{sizes['height']['max']} px",
                f"modes       {modes}",
                f"duplicates  {duplicates['images']} images have the same pixels as an earlier one",
                f"            {spans}",
                f"left out    {left_out}",
                *_told(self._lines()),
            ]
        )

    def _lines(self) -> list[str]:
        if self["measured"] is None:
            check = self["check"]
            return [
                f"the check is job {check['job_id']}, {check['state']}" if check else "not checked; see data.check()"
            ]
        lines = [f"{finding['severity']}: {finding['title']}" for finding in self.findings]
        more = len(lines) - SHOWN
        return ([*lines[:SHOWN], f"and {more} more"] if more > 0 else lines) or ["none"]


def _told(lines: list[str]) -> list[str]:
    return [f"{'findings' if not place else '':<12}{line}" for place, line in enumerate(lines)]
