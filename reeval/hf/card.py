"""The model card of an exported judge."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from reeval.version import __version__

_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def model_card(
    *,
    base_name: str,
    adapter: bool,
    title: str = "Judge of radiology reports",
    license: str = "other",
    rows: Sequence[Mapping[str, Any]] = (),
    training: Mapping[str, Any] | None = None,
    prompt_version: str | None = None,
    format_version: str | None = None,
    demonstration: bool = False,
) -> str:
    """The card's text, Markdown under the YAML header that hubs read.

    Args:
        base_name: of the base model; in the header only if it is a name on a hub (`owner/model`).
        adapter: whether the directory is a PEFT adapter rather than a merged checkpoint.
        license: of the weights, by the hub's short name.
        rows: of the table of results, each from column to text or number; fractions get one decimal.
        training: settings that a reader wants to see, from name to value.
        demonstration: whether the base is the embedded judge, which only shows that the pipeline works.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        base_name=base_name,
        base_on_hub=re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", base_name) is not None,
        adapter=adapter,
        title=title,
        license=license,
        columns=columns,
        rows=[[_cell(row.get(column)) for column in columns] for row in rows],
        training=list((training or {}).items()),
        prompt_version=prompt_version,
        format_version=format_version,
        demonstration=demonstration,
        version=__version__,
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
