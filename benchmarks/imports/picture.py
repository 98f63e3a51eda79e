"""A function's cold start as bars: how it is deployed, and the CPU time to its first response."""

from collections.abc import Mapping
from html import escape

_WIDTH, _LEFT, _ROW, _BAR, _TOP = 760, 220, 32, 20, 44
_STYLE = """\
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title, .value { font-weight: 600 }
  .small { font-size: 12px; fill: #59636e }
  .peer { fill: #d1d9e0 }
  .ours { fill: #1a7f64 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .peer { fill: #3d444d } .ours { fill: #3fb993 }
  }"""


def draw(title: str, times: Mapping[str, float], note: str) -> str:
    """Draw the SVG. `times` are in milliseconds, by runtime and form of deployment."""
    scale = (_WIDTH - _LEFT - 90) / max(times.values())
    height = _TOP + _ROW * len(times) + 26
    rows = [_row(number, name, ms, scale) for number, (name, ms) in enumerate(times.items())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<style>\n{_STYLE}\n</style>\n"
        f'<text class="title" x="12" y="24">{escape(title)}</text>\n{"".join(rows)}'
        f'<text class="small" x="12" y="{height - 10}">{escape(note)}</text>\n</svg>\n'
    )


def _row(number: int, name: str, ms: float, scale: float) -> str:
    y = _TOP + number * _ROW
    kind = "ours" if name.startswith("lambda_runtime") else "peer"
    width = ms * scale
    return (
        f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" rx="3"/>'
        f'<text class="value" x="{_LEFT + width + 8:.0f}" y="{y + 15}">{ms:.0f} ms</text>\n'
    )
