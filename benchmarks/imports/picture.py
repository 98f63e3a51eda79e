"""A function's cold start as bars: how it is deployed, and the CPU time to its first response."""

from collections.abc import Mapping
from html import escape

_WIDTH, _LEFT, _ROW, _BAR = 760, 250, 34, 22
_OURS, _THEIRS = "#2f6fde", "#9aa4b2"


def draw(title: str, times: Mapping[str, float]) -> str:
    """Draw the SVG. `times` are in milliseconds, by runtime and form of deployment."""
    scale = (_WIDTH - _LEFT - 90) / max(times.values())
    height = 40 + _ROW * len(times)
    rows = [_row(number, name, ms, scale) for number, (name, ms) in enumerate(times.items())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="14">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="12" y="24" font-weight="600">{escape(title)}</text>\n{"".join(rows)}</svg>\n'
    )


def _row(number: int, name: str, ms: float, scale: float) -> str:
    y = 40 + number * _ROW
    colour = _OURS if name.startswith("lambda_runtime") else _THEIRS
    width = ms * scale
    return (
        f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" fill="{colour}"/>'
        f'<text x="{_LEFT + width + 8:.0f}" y="{y + 16}">{ms:.0f} ms</text>\n'
    )
