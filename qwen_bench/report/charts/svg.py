"""A matplotlib figure as SVG that can stand in a page: themed, namespaced, byte-stable.

The only module of the report that creates `Markup`. What enters it is drawn by `charts/` from
cleaned labels; the text is escaped by the XML writer.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from qwen_bench.report.charts.style import CSS_VARIABLES
from qwen_bench.report.text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile("|".join(CSS_VARIABLES))
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_NO_ROTATION = re.compile(r"rotate\(-?0 [^)]*\)")
_DROPPED_STYLES = re.compile(r"\bfont-family:[^;]*(?:;\s*|$)")


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
        figure: drawn inside `style.own_settings`.
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
