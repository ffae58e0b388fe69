"""Pictures of measurements as SVG, drawn by hand: readable on light and on dark pages, no font and no script from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:13px}.g{stroke:#ccc}.a{stroke:#555}"
    ".l{fill:none;stroke:#1763b5;stroke-width:2.5}.p{fill:#1763b5}.bar{fill:#c77700;opacity:.18}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#444}.a{stroke:#aaa}.l{stroke:#6db3f2}.p{fill:#6db3f2}"
    ".bar{fill:#f0a830;opacity:.22}}"
)
_WIDTH, _HEIGHT = 380, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 34, 46


def growth(panels: Sequence[tuple[str, Sequence[tuple[int, float]]]], flat: float) -> str:
    """One panel for each (label of the x axis, points (size, rate)); the band is what counts as flat: `flat` to 1 of the first."""
    columns = 2 if len(panels) > 1 else 1
    rows = math.ceil(len(panels) / columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * _WIDTH} {rows * _HEIGHT}" role="img" '
        f'aria-label="Messages a second against size">',
        f"<style>{_STYLE}</style>",
    ]
    for number, (label, points) in enumerate(panels):
        parts.append(f'<g transform="translate({number % columns * _WIDTH},{number // columns * _HEIGHT})">')
        parts += _panel(label, points, flat)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(label: str, points: Sequence[tuple[int, float]], flat: float) -> list[str]:
    inner_w, inner_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    decades = max(1, math.ceil(math.log10(max(size for size, _ in points) or 1)))
    lowest = min(max(0, math.floor(math.log10(size))) if size else 0 for size, _ in points)
    top = _round_up(max(rate for _, rate in points) * 1.05)

    def x(size: int) -> float:
        # 0 has no place on a scale of powers of ten: it is drawn where 1 is
        return _LEFT + (math.log10(max(size, 1)) - lowest) / max(1, decades - lowest) * inner_w

    def y(rate: float) -> float:
        return _TOP + inner_h - rate / top * inner_h

    first = points[0][1]
    parts = [
        f'<text class="t" x="{_LEFT}" y="20">messages a second</text>',
        f'<rect class="bar" x="{_LEFT}" y="{y(min(first, top)):.1f}" width="{inner_w}" height="{(1 - flat) * first / top * inner_h:.1f}"/>',
    ]
    for step in range(5):
        rate = top * step / 4
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(rate):.1f}" y2="{y(rate):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate:,.0f}</text>')
    for decade in range(lowest, decades + 1):
        place = x(10**decade)
        name = "0" if decade == lowest == 0 and points[0][0] == 0 else f"{10**decade:,}"
        parts.append(f'<line class="a" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP + inner_h}" y2="{_TOP + inner_h + 4}"/>')
        anchor = "end" if decade == decades else "middle"
        parts.append(f'<text x="{place:.1f}" y="{_TOP + inner_h + 18}" text-anchor="{anchor}">{name}</text>')
    parts.append(f'<line class="a" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_TOP + inner_h}" y2="{_TOP + inner_h}"/>')
    parts.append(f'<polyline class="l" points="{" ".join(f"{x(size):.1f},{y(rate):.1f}" for size, rate in points)}"/>')
    for size, rate in points:
        parts.append(f'<circle class="p" cx="{x(size):.1f}" cy="{y(rate):.1f}" r="4"><title>{size:,}: {rate:,.0f}/s</title></circle>')
    parts.append(f'<text class="t" x="{_LEFT + inner_w / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>')
    return parts


def _round_up(value: float) -> float:
    """The next number above that divides into four fair steps."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)
