"""The README's bar chart: one bar for each row, beside the bar of its reference."""

from html import escape

from benchmarks.report import Line
from benchmarks.subjects import OURS, PEER

WIDTH = 790
LABELS = 300
BAR = 380
PITCH = 30
TOP = 46

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .small { font-size: 12px; fill: #59636e }
  .peer { fill: #d1d9e0 }
  .ours { fill: #1a7f64 }
  .value { font-weight: 600 }
  .limit { stroke: #bc4c00; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .peer { fill: #3d444d } .ours { fill: #3fb993 }
  }"""


def draw(lines: list[Line], interpreter: str) -> str:
    """Draw an SVG bar chart of the ratios and their limits. A shorter bar is better."""
    shown = [line for line in lines if line.row.in_chart and not line.row.as_difference]
    height = TOP + PITCH * len(shown) + 26
    title = f"{OURS} compared with {PEER}, {interpreter}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}\n</style>",
        f'<rect class="ours" x="{LABELS}" y="14" width="12" height="12" rx="2"/>',
        f'<text x="{LABELS + 18}" y="25">{OURS}</text>',
        f'<rect class="peer" x="{LABELS + 140}" y="14" width="12" height="12" rx="2"/>',
        f'<text x="{LABELS + 158}" y="25">{PEER} or what is named: 1</text>',
        f'<path class="limit" d="M{LABELS + 420} 12v16"/>',
        f'<text x="{LABELS + 428}" y="25">limit</text>',
        *(_bar(line, TOP + PITCH * number) for number, line in enumerate(shown)),
        f'<text class="small" x="{LABELS}" y="{height - 8}">'
        f"shorter is better; ratio of medians, same run, {escape(interpreter)}</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(line: Line, top: int) -> str:
    ratio = line.comparisons[OURS].value
    limit = line.row.limit
    one = BAR / max(1.0, ratio, limit or 0.0)
    verdict = {None: "", True: " ✓", False: " ✗"}[line.reached]
    mark = (
        "" if limit is None else f'<path class="limit" d="M{LABELS + one * limit:.1f} {top}v20"/>'
    )
    label = escape(line.row.title.replace("`", ""))
    middle = top + 15
    return (
        f'<text x="{LABELS - 12}" y="{middle}" text-anchor="end">{label}</text>'
        f'<rect class="peer" x="{LABELS}" y="{top}" width="{one:.1f}" height="20" rx="3"/>'
        f'<rect class="ours" x="{LABELS}" y="{top}" width="{one * ratio:.1f}" height="20" rx="3"/>'
        f"{mark}"
        f'<text class="value" x="{LABELS + BAR + 10}" y="{middle}">{ratio:.2f}{verdict}</text>'
    )
