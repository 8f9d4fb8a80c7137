"""Model cards: a header that hubs parse, the table, and the statements that have to be there."""

import pytest
import yaml

from reeval import hf

ROWS = [
    {"judge": "base", "mode": "one-pass", "D": 99.5, "R": 37.449, "n": 400},
    {"judge": "tuned|best", "mode": "one-pass", "D": 98.0, "R": None, "n": 400},
]


def card(**changes):
    return hf.model_card(**({"base_name": "Qwen/Qwen3-8B", "adapter": False} | changes))


def header(text):
    empty, head, _ = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(head)


def test_header():
    merged = header(card(license="apache-2.0"))
    assert merged["base_model"] == "Qwen/Qwen3-8B"
    assert (merged["license"], merged["library_name"]) == ("apache-2.0", "transformers")
    assert merged["base_model_relation"] == "finetune"
    adapter = header(card(adapter=True))
    assert (adapter["library_name"], adapter["base_model_relation"]) == ("peft", "adapter")
    assert "lora" in adapter["tags"]


@pytest.mark.parametrize("name", ["/home/someone/model", "../model", "embedded"])
def test_a_base_that_is_on_no_hub_is_not_in_the_header(name):
    assert "base_model" not in header(card(base_name=name))


def test_table():
    lines = card(rows=ROWS).splitlines()
    at = lines.index("| judge | mode | D | R | n |")
    assert lines[at + 1] == "| --- | --- | --- | --- | --- |"
    assert lines[at + 2] == "| base | one-pass | 99.5 | 37.4 | 400 |"
    assert lines[at + 3] == "| tuned\\|best | one-pass | 98.0 | - | 400 |"
    assert lines[at - 1] == lines[at + 4] == ""
    assert "Not evaluated." in card()
    assert "Not evaluated." not in card(rows=ROWS)


def test_statements():
    text = card(
        training={"learning rate": 1e-4},
        prompt_version="clinical-2",
        format_version="1",
        rows=ROWS,
        adapter=True,
    )
    assert "not a medical device" in text
    assert "chest X-rays" in text
    assert "For research only" in text
    assert "- learning rate: 0.0001\n" in text
    assert "- prompt version: clinical-2\n" in text
    assert "- verdict format version: 1\n" in text
    assert "demonstration" not in text
    assert "demonstration of the pipeline" in card(demonstration=True)
    assert "show that the pipeline works, nothing else" in card(demonstration=True, rows=ROWS)
