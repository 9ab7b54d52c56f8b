"""The charts of a study as SVG: a file by itself, in light colours that a style sheet may replace.

Each panel is drawn with its left upper corner at 0, 0, WIDTH units wide. Values stand in the tables as well.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

from app.services.studies.reporting.measured import ArmsPanel, CurvePanel
from app.services.studies.reporting.values import Figure

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 520, 168, 18, 34, 26, 44
PLOT_HEIGHT = 190
CURVE_LEFT = 52
MARGIN = 0.02  # of the axis, beyond the outermost figure
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2)
COLOURS = ("#0a6472", "#a65a00", "#5b3f9e", "#3d6b1f")
DASHES = ("", "7 3", "2 3", "8 3 2 3")
INK, SOFT, LINE = "#1b2023", "#4d565b", "#d5d9da"


class Panel:
    """A drawing and its height."""

    def __init__(self, title: str, height: float, parts: Sequence[str]) -> None:
        self.title, self.height, self.body = title, height, "".join(parts)

    def svg(self) -> str:
        return _svg([self], self.title)


def _svg(panels: Sequence[Panel], title: str) -> str:
    height, parts = 0.0, []
    for panel in panels:
        parts.append(f'<g transform="translate(0 {height:g})">{panel.body}</g>')
        height += panel.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'font-family="system-ui, Segoe UI, Roboto, Liberation Sans, sans-serif" font-size="12">'
        f'<rect class="chart-paper" width="{WIDTH}" height="{height:g}" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def stacked(panels: Sequence[Panel], title: str) -> str:
    """All panels below each other, as one file."""
    return _svg(panels, title)


def arms(panels: Sequence[ArmsPanel]) -> list[Panel]:
    """A row for each arm: point and interval, the reference as a line through all rows. One axis for all panels."""
    figures = [figure for panel in panels for _, figure, _ in panel.points]
    axis = _Axis(figures, LEFT, WIDTH - RIGHT)
    return [_arms(panel, axis) for panel in panels]


def curves(panels: Sequence[CurvePanel]) -> list[Panel]:
    """Accuracy over size with intervals; arms without a size as lines."""
    return [_curve(panel) for panel in panels]


class _Axis:
    """Values from the lowest to the highest bound on start to end, with round ticks."""

    def __init__(self, figures: Sequence[Figure], start: float, end: float) -> None:
        bounds = [value for each in figures for value in (each.low, each.value, each.high) if value is not None]
        self.low, self.high = (max(0.0, min(bounds) - MARGIN), min(1.0, max(bounds) + MARGIN)) if bounds else (0.0, 1.0)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        return round(self._start + (self._end - self._start) * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[float]:
        step = next((each for each in TICKS if (self.high - self.low) / each <= 8), TICKS[-1])
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 4) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = SOFT, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    kind = "chart-ink" if colour == INK else "chart-soft"
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(words)}</text>'


def _line(
    x1: float, y1: float, x2: float, y2: float, *, colour: str, kind: str, width: float = 1, dash: str = ""
) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def _arms(panel: ArmsPanel, axis: _Axis) -> Panel:
    bottom = TOP + ROW * len(panel.points)
    parts = [_text(0, 14, _cut(panel.title, 72), colour=INK, bold=True)]
    for tick in axis.ticks():
        parts.append(_line(axis.at(tick), TOP - 6, axis.at(tick), bottom, colour=LINE, kind="chart-grid"))
        parts.append(_text(axis.at(tick), bottom + 15, f"{tick:g}", anchor="middle"))
    for _, figure, is_reference in panel.points:
        if is_reference and figure.value is not None:
            x = axis.at(figure.value)
            parts.append(_line(x, TOP - 6, x, bottom, colour=SOFT, kind="chart-reference", dash="4 3"))
    for number, (name, figure, _) in enumerate(panel.points):
        parts += _arm(name, figure, axis, TOP + ROW * number + ROW / 2)
    parts.append(
        _text(WIDTH - RIGHT, bottom + 33, "balanced accuracy, mean over seeds, with 95 % interval", anchor="end")
    )
    return Panel(_told(panel), bottom + FOOT, parts)


def _arm(name: str, figure: Figure, axis: _Axis, y: float) -> Iterator[str]:
    yield _text(LEFT - 10, y + 4, _cut(name, 25), anchor="end", colour=INK)
    if figure.value is None:
        yield _text(LEFT, y + 4, "not computed")
        return
    if figure.low is not None and figure.high is not None:
        yield _line(axis.at(figure.low), y, axis.at(figure.high), y, colour=COLOURS[0], kind="series-0", width=2)
        for bound in (figure.low, figure.high):
            yield _line(axis.at(bound), y - 4, axis.at(bound), y + 4, colour=COLOURS[0], kind="series-0", width=2)
    yield f'<circle class="series-0 filled" cx="{axis.at(figure.value):g}" cy="{y:g}" r="4.5" fill="{COLOURS[0]}"/>'


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _told(panel: ArmsPanel) -> str:
    values = ", ".join(f"{name} {figure.value:.3f}" for name, figure, _ in panel.points if figure.value is not None)
    return f"{panel.title}: balanced accuracy of {values or 'no arm'}."


def _curve(panel: CurvePanel) -> Panel:
    figures = [figure for _, points in panel.series for _, figure in points] + [
        Figure(value) for _, value in panel.levels
    ]
    bottom = TOP + PLOT_HEIGHT
    up = _Axis(figures, bottom, TOP)
    sizes = sorted({size for _, points in panel.series for size, _ in points})
    places = dict(zip(sizes, _places(sizes), strict=True))
    parts = [_text(0, 14, _cut(panel.title, 72), colour=INK, bold=True)]
    for tick in up.ticks():
        parts.append(_line(CURVE_LEFT, up.at(tick), WIDTH - RIGHT, up.at(tick), colour=LINE, kind="chart-grid"))
        parts.append(_text(CURVE_LEFT - 8, up.at(tick) + 4, f"{tick:g}", anchor="end"))
    parts += [_text(places[size], bottom + 16, f"× {size:g}", anchor="middle") for size in sizes]
    parts.append(_text(WIDTH - RIGHT, bottom + 34, "synthetic images, in multiples of those asked for", anchor="end"))
    legend = bottom + 54
    for number, (name, points) in enumerate(panel.series):
        parts += _series(points, places, up, number % len(COLOURS))
        parts += _key(name, legend + 18 * number, number % len(COLOURS))
    for number, (name, value) in enumerate(panel.levels):
        y, dash = up.at(value), DASHES[1 + number % (len(DASHES) - 1)]
        parts.append(_line(CURVE_LEFT, y, WIDTH - RIGHT, y, colour=SOFT, kind="chart-reference", dash=dash, width=1.5))
        row = legend + 18 * (len(panel.series) + number)
        parts.append(
            _line(
                CURVE_LEFT, row - 4, CURVE_LEFT + 30, row - 4, colour=SOFT, kind="chart-reference", dash=dash, width=1.5
            )
        )
        parts.append(_text(CURVE_LEFT + 38, row, f"{_cut(name, 40)}: {value:.3f}"))
    height = legend + 18 * (len(panel.series) + len(panel.levels)) + 8
    return Panel(
        f"{panel.title}: balanced accuracy over the size of the synthetic set. {panel.saturation}".strip(),
        height,
        parts,
    )


def _places(sizes: Sequence[float]) -> list[float]:
    """Where the sizes stand: on a scale of ratios, since sizes are multiples."""
    start, end = CURVE_LEFT + 24, WIDTH - RIGHT - 24
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    return [round(start + (end - start) * (math.log(size) - low) / (high - low), 2) for size in sizes]


def _series(
    points: Sequence[tuple[float, Figure]], places: dict[float, float], up: _Axis, number: int
) -> Iterator[str]:
    known = [(places[size] + 3 * number, figure) for size, figure in points if figure.value is not None]
    colour = COLOURS[number]
    path = "".join(
        f"{'L' if place else 'M'}{x:g} {up.at(figure.value or 0):g}" for place, (x, figure) in enumerate(known)
    )
    yield f'<path class="series-{number}" d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    for x, figure in known:
        if figure.low is not None and figure.high is not None:
            yield _line(x, up.at(figure.low), x, up.at(figure.high), colour=colour, kind=f"series-{number}", width=1.5)
        yield f'<circle class="series-{number} filled" cx="{x:g}" cy="{up.at(figure.value or 0):g}" r="4" fill="{colour}"/>'


def _key(name: str, y: float, number: int) -> Iterator[str]:
    colour = COLOURS[number]
    yield _line(CURVE_LEFT, y - 4, CURVE_LEFT + 30, y - 4, colour=colour, kind=f"series-{number}", width=1.8)
    yield f'<circle class="series-{number} filled" cx="{CURVE_LEFT + 15}" cy="{y - 4:g}" r="4" fill="{colour}"/>'
    yield _text(CURVE_LEFT + 38, y, f"{_cut(name, 40)}, with 95 % interval")
