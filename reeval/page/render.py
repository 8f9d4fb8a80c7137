"""The page's HTML, from what was read."""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from reeval.page.cells import plain
from reeval.page.gallery import gallery
from reeval.page.inputs import Inputs
from reeval.page.records import gold_of, records, script_json
from reeval.page.tables import tables
from reeval.version import __version__

# After the results and the figures: link, heading, the tables under it.
_SECTIONS = (
    ("comparisons", "Comparisons", ("tests", "composites", "two-pass")),
    (
        "breakdowns",
        "Breakdowns",
        ("identical", "by-type", "severity-by-type", "by-aspect", "severity-by-aspect", "by-length"),
    ),
    ("thresholds", "Probabilities and thresholds", ("calibration", "thresholds")),
    ("beside-people", "Order, and people", ("monotonicity", "humans", "raters")),
    ("cost", "Cost and reading", ("usage", "reading")),
)


def html(inputs: Inputs, *, with_text: bool) -> str:
    """The whole page; without `with_text` nothing in it is or quotes report text.

    Raises:
        ValueError: if a figure is no SVG.
    """
    compared, columns = inputs.compared, inputs.columns
    made = tables(compared, columns)
    seed = (compared.get("settings") or {}).get("seed") or 0
    sections = [
        (key, label, [k for k in keys if k in made]) for key, label, keys in _SECTIONS if any(k in made for k in keys)
    ]
    drawn = gallery(inputs.figures, columns)
    style, script = _file("page.css"), _file("page.js")
    contents = [("results", "Results")] * ("scores" in made) + [("figures", "Figures")] * bool(drawn)
    contents += [(key, label) for key, label, _ in sections] + [("signatures", "Signatures"), ("pairs", "Pairs")]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    return environment.from_string(_file("page.html.jinja")).render(
        title=_title(inputs),
        facts=_facts(inputs),
        with_text=with_text,
        contents=contents,
        tables={"scores": None} | made,
        figures=drawn,
        sections=sections,
        columns=columns,
        settings=[(str(k).replace("_", " "), plain(v)) for k, v in (compared.get("settings") or {}).items()],
        version=__version__,
        compared_by=compared.get("reeval"),
        data=script_json(records(inputs.pairs, columns, with_text=with_text, seed=seed)),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _title(inputs: Inputs) -> str:
    evaluators = len({column.name for column in inputs.columns})
    return f"{evaluators} evaluator{'s' * (evaluators != 1)} on {len(inputs.pairs):,} pairs"


def _facts(inputs: Inputs) -> list[tuple[str, str]]:
    given: Mapping[str, Any] = inputs.compared.get("pairs") or {}
    gold = [gold_of(pair) for pair in inputs.pairs]
    return [
        ("pairs", f"{len(inputs.pairs):,}"),
        ("reference reports", f"{len({pair.reference_id for pair in inputs.pairs}):,}"),
        ("significant", f"{gold.count(1):,}"),
        ("not significant", f"{gold.count(0):,}"),
        ("identical", f"{sum(pair.identical for pair in inputs.pairs):,}"),
        *([("SHA-256 of the pairs", f"{given['sha256'][:12]}…")] if given.get("sha256") else []),
    ]


def _policy(style: str, script: str) -> str:
    """Nothing but the two parts that stand in the file may style it or run, and nothing is loaded."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; style-src 'sha256-{digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _file(name: str) -> str:
    return resources.files("reeval.page").joinpath(name).read_text(encoding="utf-8")
