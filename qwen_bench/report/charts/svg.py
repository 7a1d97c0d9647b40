"""Figures that look alike and come out byte for byte the same, and their SVG for the page.

Colours are drawn as the fixed hex values below and become CSS variables in the SVG, so that the
page decides, per theme, what they look like. Sizes are in CSS pixels at the page's full width.

The only module of the report that creates `Markup`. What enters it is drawn by `charts/` from
cleaned labels; the text is escaped by the XML writer.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from qwen_bench.record.formats import points
from qwen_bench.report.untrusted_text import one_line, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = ("#0072b2", "#c04f00", "#007a5a", "#a0407f", "#3d3d3d")
MARKERS = ("o", "s", "D", "P", "*")  # no triangles: they mean lost and gained
MARKER_SCALES = (1.0, 1.0, 0.95, 1.4, 1.9)  # a plus and a star cover less of their square
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1.5)))
GRID = "#d9dce1"
MUTED = "#5f6b7a"
MARGIN = "#e9edf2"
PAPER = "#fffffe"
GOOD = "#0b6e4f"
BAD = "#b3261e"
BOTH_RIGHT = "#b8c4d2"
NEITHER = "#e3e7ed"
INK = "#000000"

CSS_VARIABLES = {
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
    GRID: "var(--grid)",
    MUTED: "var(--muted)",
    MARGIN: "var(--margin)",
    PAPER: "var(--paper)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    BOTH_RIGHT: "var(--kept)",
    NEITHER: "var(--neither)",
    INK: "currentColor",
}

FONT_SIZE = 13
SMALL = 12
PIXELS_PER_INCH = 72  # SVG user units of matplotlib, which the page shows as CSS pixels

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile("|".join(CSS_VARIABLES))
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_NO_ROTATION = re.compile(r"rotate\(-?0 [^)]*\)")
_DROPPED_STYLES = re.compile(r"\bfont-family:[^;]*(?:;\s*|$)")


@contextmanager
def own_settings() -> Iterator[None]:
    """The shipped defaults of matplotlib plus ours, whatever a user's matplotlibrc says.

    Draw and save inside. Font warnings are silenced: CJK labels have no glyph in DejaVu Sans,
    but the SVG keeps text as text and the reader's browser has the font.
    """
    shipped: dict[str, Any] = {
        key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"
    }
    ours: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "qwen-bench",
        "font.family": ["DejaVu Sans"],
        "font.size": FONT_SIZE,
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "hatch.linewidth": 1.1,
        "path.simplify": False,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcParams.update(cast("Any", shipped | ours))
        yield


def new_figure(width: int, height: int) -> Figure:
    """An empty figure of a fixed size in pixels, with an SVG canvas and no pyplot."""
    figure = Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH))
    FigureCanvasSVG(figure)
    return figure


def new_axes(figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes with margins in pixels and neither frame nor ticks."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=7)
    axes.set_axisbelow(True)
    return axes


def share_rows(axes: Axes, names: Sequence[str]) -> None:
    """A fixed axis from 0 to 100 % and a named row for each of `names`, top to bottom."""
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names), 0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_yticks([place + 0.5 for place in range(len(names))], names)
    axes.tick_params(labelsize=SMALL, colors=MUTED)
    for name in axes.get_yticklabels():
        name.set(color=INK, fontsize=FONT_SIZE)


def put_text(where: Axes | Figure, x: float, y: float, words: str, **style: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Small muted words, centred on their height."""
    look: dict[str, Any] = {"color": MUTED, "fontsize": SMALL, "va": "center"}
    where.text(x, y, words, **(look | style))


def put_mark(
    axes: Axes, x: float, y: float, colour: str, size: float, *, hollow: bool = False,
    marker: str = "o", edge: float = 1.4, **style: Any,  # noqa: ANN401 - matplotlib's
) -> None:  # fmt: skip
    """One mark, never cut off by the axis."""
    axes.plot(
        [x],
        [y],
        marker=marker,
        markersize=size,
        color=PAPER if hollow else colour,
        markeredgecolor=colour if hollow else PAPER,
        markeredgewidth=edge,
        clip_on=False,
        **style,
    )


def put_model_mark(axes: Axes, number: int, x: float, y: float, size: float, **style: Any) -> None:  # noqa: ANN401 - matplotlib's
    """One mark of a model in its colour and shape."""
    marker, size = MARKERS[number], size * MARKER_SCALES[number]
    put_mark(axes, x, y, SERIES[number], size, marker=marker, **style)


def short_name(label: str, longest: int) -> str:
    """A label on one line, cut where it is longer than `longest` characters."""
    name = one_line(label)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def mark_points(axes: Axes, limit: float) -> None:
    """Ticks in whole points on an x axis of differences from `-limit` to `limit`, 0 among them.

    The distance is the smallest round number that gives at most three ticks a side.
    """
    axes.set_xlim(-limit, limit)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if limit / s < 4)
    reach = math.floor(limit / step)
    ticks = [step * k for k in range(-reach, reach + 1)]
    axes.set_xticks(ticks, [points(tick).removesuffix(".0") for tick in ticks])


def spread(values: Sequence[float], gap: float, *, top: float = 1.0) -> list[float]:
    """Move label positions apart until neighbours are `gap` apart, keeping their order.

    Labels that would stand above `top` are pushed down together with those under them.

    >>> spread([0.50, 0.52, 0.90], 0.06)
    [0.48, 0.54, 0.9]
    >>> spread([1.0, 1.0], 0.1)
    [0.9, 1.0]
    """
    order = sorted(range(len(values)), key=lambda index: (values[index], index))
    groups: list[list[int]] = []
    centres: list[float] = []
    for index in order:
        groups.append([index])
        centres.append(values[index])
        while len(groups) > 1:
            needed = gap * (len(groups[-1]) + len(groups[-2])) / 2
            if centres[-1] - centres[-2] >= needed - 1e-12:
                break
            merged = groups[-2] + groups[-1]
            groups[-2:] = [merged]
            centres[-2:] = [sum(values[item] for item in merged) / len(merged)]
    placed = [0.0] * len(values)
    for members, centre in zip(groups, centres, strict=True):
        for rank, index in enumerate(members):
            placed[index] = centre + gap * (rank - (len(members) - 1) / 2)
    ceiling = top
    for index in reversed(order):
        placed[index] = round(min(placed[index], ceiling), 6)
        ceiling = placed[index] - gap
    return placed


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: id, visible title, the finding in words, and the drawing."""

    slug: str
    title: str
    finding: str
    svg: Markup


def make_chart(
    draw: Callable[[], Figure],
    slug: str,
    *,
    title: str,
    finding: str,
    hints: Mapping[str, str] | None = None,
) -> Chart:
    """A chart of a drawing; `draw` is called under the settings all charts share.

    Args:
        draw: makes the figure.
        slug: unique on the page; letters, digits and hyphens.
        title: what is shown.
        finding: what the numbers show, nothing that would need a test.
        hints: hover text by `gid` of an artist.
    """
    with own_settings():
        svg = figure_to_svg(draw(), slug, title=title, description=finding, hints=hints)
    return Chart(slug, title, finding, svg)


def figure_to_svg(
    figure: Figure,
    slug: str,
    *,
    title: str,
    description: str,
    hints: Mapping[str, str] | None = None,
) -> Markup:
    """Write a figure as an inline `<svg role="img">`.

    Ids get the slug as prefix (every figure holds ``axes_1``), black becomes ``currentColor``,
    palette colours become CSS variables, fonts are inherited from the page, and the fixed size
    gives way to the view box.

    Args:
        figure: drawn inside `own_settings`.
        slug: unique on the page; letters, digits and hyphens.
        title: accessible name.
        description: the finding in words.
        hints: hover text by `gid` of an artist.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = buffer.getvalue()
    root = ET.fromstring(text[text.index("<svg") :])  # noqa: S314 - written by matplotlib above
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style", f"{{{_SVG}}}title"}:
                parent.remove(child)
    for element in root.iter():
        _rewrite(element, slug)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}defs" and not len(child):
                parent.remove(child)
    _insert_hints(root, slug, hints or {})
    return Markup(_serialise(root, slug, title, description))  # noqa: S704 - see module docstring


def _rewrite(element: ET.Element, slug: str) -> None:
    """Bring one element's attributes into the page's terms, in place."""
    for key, value in list(element.attrib.items()):
        new = value
        if key == "id":
            new = f"{slug}-{value}"
        elif key == _HREF:
            del element.attrib[key]
            element.set("href", f"#{slug}-{value.removeprefix('#')}")
            continue
        elif key in {"d", "x", "y", "transform"}:
            new = _NUMBER.sub(_two_decimals, " ".join(value.split()))
            new = _NO_ROTATION.sub("", new).strip()
        elif key in {"style", "fill", "stroke"}:
            new = _COLOUR.sub(lambda match: CSS_VARIABLES[match.group()], value)
            new = _DROPPED_STYLES.sub("", new).strip("; ")
        if "url(#" in new:
            new = new.replace("url(#", f"url(#{slug}-")
        if new:
            element.set(key, new)
        else:
            del element.attrib[key]


def _two_decimals(match: re.Match[str]) -> str:
    text = f"{float(match.group()):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _insert_hints(root: ET.Element, slug: str, hints: Mapping[str, str]) -> None:
    by_id = {f"{slug}-{gid}": hint for gid, hint in hints.items()}
    for element in root.iter():
        hint = by_id.get(element.get("id", ""))
        if hint is not None:
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = plain(hint)
            element.insert(0, title)


def _serialise(root: ET.Element, slug: str, title: str, description: str) -> str:
    """The tree as text without namespace prefixes, with its accessible name in front."""
    for key in ("width", "height", "version", "id"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "id": slug,
        "role": "img",
        "aria-labelledby": f"{slug}-title {slug}-desc",
        "fill": "currentColor",
        "stroke-linejoin": "round",
        "font-family": "inherit",
    }
    root.text = None
    for position, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{slug}-{tag}"})
        element.text = plain(words)
        root.insert(position, element)
    for element in root.iter():
        if element.text is not None and not element.text.strip():
            element.text = None
        element.tail = None
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    root.set("xmlns", _SVG)
    return ET.tostring(root, encoding="unicode")
