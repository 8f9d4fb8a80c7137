"""SVG files as parts of a page: nothing in them runs, loads, styles the page or shares an id with another figure."""

import re
from xml.etree import ElementTree

# What matplotlib draws with, and no more.
_ELEMENTS = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "line", "polyline", "polygon", "ellipse"}
_ELEMENTS |= {"text", "tspan", "linearGradient", "radialGradient", "stop", "image", "pattern"}
_ATTRIBUTES = {"id", "d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height"}
_ATTRIBUTES |= {"points", "transform", "viewBox", "preserveAspectRatio", "clip-path", "href", "offset", "gradientUnits"}
_ATTRIBUTES |= {"gradientTransform", "patternUnits", "clipPathUnits"}
# Those of a style attribute that are attributes, too: a page whose policy allows no inline style keeps them so.
_STYLES = {"fill", "fill-opacity", "fill-rule", "stroke", "stroke-opacity", "stroke-width", "opacity", "visibility"}
_STYLES |= {"stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit"}
_STYLES |= {"font-size", "font-family", "font-weight", "font-style", "text-anchor", "dominant-baseline"}
_STYLES |= {"stop-color", "stop-opacity"}
_FONT = re.compile(r"(?P<style>italic |oblique )?(?P<weight>bold |\d00 )?(?P<size>[\d.]+(?:px|pt)?)\s+(?P<family>.+)")
_IMAGE = "data:image/png;base64,"


def inline(svg: str, prefix: str) -> str:
    """The svg element to stand in HTML, its ids beginning with `prefix`.

    Raises:
        ValueError: if it is no SVG.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        raise ValueError("no SVG that can be read; run `reeval compare` again") from None
    if _local(root.tag) != "svg":
        raise ValueError("no SVG; run `reeval compare` again")
    kept = _kept(root, prefix)
    if "viewBox" in kept.attrib:  # the page decides how large it is
        kept.attrib.pop("width", None), kept.attrib.pop("height", None)
    kept.set("aria-hidden", "true")
    return ElementTree.tostring(kept, encoding="unicode", short_empty_elements=False)


def _kept(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    kept = ElementTree.Element(_local(element.tag))
    kept.text, kept.tail = element.text, element.tail
    given = {_local(name): value for name, value in element.attrib.items()}
    attributes = {name: value for name, value in given.items() if name in _ATTRIBUTES | _STYLES}
    attributes |= _styles(given.get("style", ""))
    for name, value in attributes.items():
        safe = _prefixed(name, value, prefix)
        if safe is not None:
            kept.set(name, safe)
    for child in element:
        if isinstance(child.tag, str) and _local(child.tag) in _ELEMENTS:
            kept.append(_kept(child, prefix))
    return kept


def _styles(text: str) -> dict[str, str]:
    pairs = (part.partition(":")[::2] for part in text.split(";"))
    styles = {name.strip(): value.strip() for name, value in pairs}
    font = _FONT.fullmatch(styles.pop("font", ""))
    found = {name: value for name, value in styles.items() if name in _STYLES}
    if font:
        found |= {f"font-{name}": value.strip() for name, value in font.groupdict().items() if value}
    return found


def _prefixed(name: str, value: str, prefix: str) -> str | None:
    """The value with references made anew; None for one that leads out of the figure."""
    if name == "id":
        return prefix + value
    if name == "href":
        if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        return value if value.startswith(_IMAGE) else None
    if "url(" in value.replace(" ", "").lower():
        inner = re.fullmatch(r"url\(\s*['\"]?#([\w.:-]+)['\"]?\s*\)", value)
        return f"url(#{prefix}{inner[1]})" if inner else None
    return value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
