"""Draws curves of an ascent as small SVGs, fast enough for frequent updates."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping

import pandas as pd

from das_ag.methods import method_of, methods_of
from das_ag.report.traces import COLUMNS

_INK = {"light": "#1c1d21", "dark": "#ecebe7"}
_FONT = "font-family=\"'Source Sans 3', 'Source Sans Pro', system-ui, sans-serif\" font-size=\"11.5\""

CURVES = {"positive": (1.0, "Similarity, cosine ↑"), "aesthetic": (10.0, "Guide’s score, 1–10 ↑")}
"""The curves of every trace: by its column, the scale factor and the name of the axis."""

_WIDTH, _HEIGHT = 420, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 30, 410, 186
"""Edges of the plot area."""
_POINTS = 120
"""Most points of a line; the eye cannot resolve more."""


def shown(traces: Mapping[str, pd.DataFrame]) -> list[str]:
    """The columns that have a curve: those of `CURVES`, then each term that only some configurations weigh."""
    there = {column for trace in traces.values() for column in trace}
    return [*(column for column in CURVES if column in there), *sorted(there - set(COLUMNS))]


def curves(traces: Mapping[str, pd.DataFrame], column: str, steps: int, theme: str) -> str:
    """SVG with a line for each method.

    Args:
        traces: one per method; together at least one step.
        column: one of `shown`.
        theme: light or dark.
    """
    factor, title = _axis(column)
    values = {method: trace[column] * factor for method, trace in traces.items() if column in trace and len(trace)}
    low, high, distance = _range(min(v.min() for v in values.values()), max(v.max() for v in values.values()))
    places = {method: (_LEFT + traces[method]["step"] / max(steps - 1, 1) * (_RIGHT - _LEFT)) for method in values}
    heights = {m: _BOTTOM - (v.clip(low, high) - low) / (high - low) * (_BOTTOM - _TOP) for m, v in values.items()}
    lines = "".join(_line(places[m.name], heights[m.name], m.screen_colour(theme), m.dash) for m in methods_of(values))
    grid = "".join(_grid(low, high, distance, _INK[theme]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" fill="{_INK[theme]}" {_FONT}>'
        f'<text x="0" y="14">{html.escape(title)}</text>{grid}'
        f'<text x="{_LEFT}" y="{_BOTTOM + 18}" text-anchor="middle">0</text>'
        f'<text x="{_RIGHT}" y="{_BOTTOM + 18}" text-anchor="end">{steps - 1}</text>'
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 30}" text-anchor="middle">step</text>{lines}</svg>'
    )


def described(traces: Mapping[str, pd.DataFrame], column: str) -> str:
    """The curves in words: where each line begins and ends."""
    factor, title = _axis(column)
    ends = [
        f"{method_of(method).title} from {trace[column].iloc[0] * factor:.2f} to {trace[column].iloc[-1] * factor:.2f}"
        for method, trace in traces.items()
        if column in trace and len(trace)
    ]
    return f"{title[:-2]}, by step: {'; '.join(ends)}."


def _axis(column: str) -> tuple[float, str]:
    return CURVES.get(column, (1.0, f"{column.replace('_', ' ').capitalize()} ↓"))


def _range(lowest: float, highest: float) -> tuple[float, float, float]:
    """Ends of an axis and the distance of its ticks, as round numbers; 0…1 if the limits are not numbers."""
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return 0.0, 1.0, 0.5
    reach = max(highest - lowest, 0.02)
    power = 10.0 ** math.floor(math.log10(reach / 2))
    distance = next(power * step for step in (1, 2, 5, 10) if reach / (power * step) <= 5)
    low = math.floor(lowest / distance) * distance
    return low, max(math.ceil(highest / distance) * distance, low + distance), distance


def _grid(low: float, high: float, distance: float, ink: str) -> Iterator[str]:
    digits = max(0, -math.floor(math.log10(distance)))
    for number in range(round((high - low) / distance) + 1):
        y = _BOTTOM - number * distance / (high - low) * (_BOTTOM - _TOP)
        yield f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="{ink}" stroke-opacity="0.14"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{low + number * distance:.{digits}f}</text>'


def _line(x: pd.Series, y: pd.Series, colour: str, dash: str) -> str:
    few = slice(None, None, max(1, len(x) // _POINTS))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[few], y[few], strict=True) if math.isfinite(b))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
