"""The laws of the layout, read from the source: who imports whom, what stands where, how long a file may be.

Each law is a function from a checkout's root to the list of what breaks it, so that the tests below can also
show, on a small checkout made for the purpose, that it is able to fail.
"""

import ast
import graphlib
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import ml_collections
import pytest

ROOT = Path(__file__).parents[1]

# A module imports only from rows above its own, or from its own row.
ROWS = [
    ["pairs", "preferences", "judgements", "taxonomy", "verdicts", "embedded", "version", "watch", "chips"],
    ["prompts", "models", "lora", "metrics", "files", "bucket", "hosts", "progress", "settings", "chat"],
    ["sharding", "hf", "synth", "benchmarks"],
    ["data", "decode"],
    [
        *("run", "train", "evaluate", "export", "prefs", "plan", "from_scratch", "score", "bench"),
        *("evaluators", "study", "page"),
    ],
    [
        "",
        "cli",
        "cli_bench",
        "cli_study",
        "command_line",
        "__main__",
    ],  # "" is reeval/__init__.py: what users import, which nothing else does
]
ROW = {name: row for row, names in enumerate(ROWS) for name in names}
NAMELESS = {"util", "utils", "helper", "helpers", "common", "misc"}
# What the parts that are pure must not know.
FORBIDDEN = {
    "models": {"absl", "argparse", "ml_collections", "orbax", "os", "pathlib", "transformers"},
    "metrics": {"absl", "flax", "jax", "ml_collections", "os", "pathlib", "transformers"},
}
LONGEST = 350
HEADER = ("Command", "Hardware", "Memory", "Duration", "Expected")


def sources(root: Path) -> dict[str, ast.Module]:
    """Dotted module name -> syntax tree, for everything under reeval/."""
    trees = {}
    for path in sorted((root / "reeval").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


def imports(name: str, tree: ast.AST, known: set[str]) -> Iterator[str]:
    """What a module imports, as dotted names; of our own, modules. Inside functions and as a string, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{name}:{node.lineno}: a relative import; write reeval.... out")
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if module in known else str(node.module)
        elif isinstance(node, ast.Constant) and node.value in known and node.value != "reeval":
            yield str(node.value)  # importlib.import_module("reeval.models.qwen3")


def graph(root: Path) -> dict[str, set[str]]:
    """Module -> what it imports, ours and others'."""
    trees = sources(root)
    return {name: set(imports(name, tree, set(trees))) - {name} for name, tree in trees.items()}


def part(module: str) -> str:
    """The entry of the table that a module of ours belongs to."""
    return [*module.split("."), ""][1]


def ours(module: str) -> bool:
    return module.split(".")[0] == "reeval"


def misplaced(root: Path) -> list[str]:
    found = []
    for name, imported in graph(root).items():
        if part(name) not in ROW:
            found.append(f"{name} stands in no row of the table")
            continue
        for other in sorted(filter(ours, imported)):
            if ROW.get(part(other), 0) > ROW[part(name)]:
                found.append(f"{name} (row {ROW[part(name)]}) imports {other} (row {ROW[part(other)]})")
    return found


def cycles(root: Path) -> list[str]:
    """A cycle of modules, or of parts: models/a -> lora -> models/b is one although no module repeats."""
    modules = {name: {other for other in imported if ours(other)} for name, imported in graph(root).items()}
    parts: dict[str, set[str]] = {}
    for name, imported in modules.items():
        parts.setdefault(part(name), set()).update(part(other) for other in imported if part(other) != part(name))
    found = []
    for edges in (modules, parts):
        try:
            graphlib.TopologicalSorter(edges).prepare()
        except graphlib.CycleError as error:
            found.append(" <- ".join(error.args[1]))
    return found


def impure(root: Path) -> list[str]:
    """Imports that a part's purpose rules out; row 0 has only the standard library."""
    found = []
    for name, imported in graph(root).items():
        tops = {module.split(".")[0] for module in imported} - {"reeval"}
        bad = tops & FORBIDDEN.get(part(name), set())
        if ROW.get(part(name)) == 0:
            bad = tops - sys.stdlib_module_names
        found += [f"{name} imports {top}" for top in sorted(bad)]
    return found


def undeclared(root: Path) -> list[str]:
    """Imports that a plain install does not bring: their distribution is no dependency in pyproject.toml.

    Inside a function, where it can be missed with a word to the user, it may be an extra's.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project.get("optional-dependencies", {}).items() if name != "test"}
    declared = distributions_of(project["dependencies"])
    late = declared.union(*map(distributions_of, extras.values()))
    found = []
    owners = metadata.packages_distributions()
    trees = sources(root)
    for name, tree in trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            allowed = late if id(node) in inside else declared
            tops = {module.split(".")[0] for module in imports(name, node, set(trees))}
            for top in sorted(tops - sys.stdlib_module_names - {"reeval"}):
                if not allowed & {normalised(owner) for owner in owners.get(top, [top])}:
                    found.append(f"{name} imports {top}, which pyproject.toml does not declare")
    return found


def distributions_of(requirements: list[str]) -> set[str]:
    return {normalised(re.split(r"[^\w.-]", line)[0]) for line in requirements}


def normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def partition_specs(root: Path) -> list[str]:
    """Uses of PartitionSpec, or of jax.P, its short name, outside sharding.py."""
    found = []
    for name, tree in sources(root).items():
        if name == "reeval.sharding":
            continue
        for node in ast.walk(tree):
            short = isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.P"
            short |= isinstance(node, ast.ImportFrom) and node.module == "jax" and "P" in (a.name for a in node.names)
            names = {getattr(node, field, None) for field in ("id", "attr", "name")}
            if short or "PartitionSpec" in names:
                found.append(f"{name} uses PartitionSpec")
    return sorted(set(found))


def nameless(root: Path) -> list[str]:
    files = [path for folder in ("reeval", "configs", "launch", "tests") for path in (root / folder).rglob("*.py")]
    return [str(path.relative_to(root)) for path in sorted(files) if path.stem in NAMELESS]


def too_long(root: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (root / "reeval").rglob("*.py")}
    return [f"{path.relative_to(root)}: {n} lines" for path, n in sorted(lengths.items()) if n > LONGEST]


def headerless(root: Path) -> list[str]:
    """Configs whose docstring lacks a line of the header, or whose command or script runs another config."""
    found = []
    for path in sorted((root / "configs").glob("*.py")):
        name = f"configs/{path.name}"
        header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        said = {field: re.search(rf"^{field}[^:\n]*:[ \t]*(\S.*)", header, re.MULTILINE) for field in HEADER}
        found += [
            f"{name}: its header does not say: {field}"
            for field, line in said.items()
            if line is None or re.match("FIXME|TODO", line[1])
        ]
        scripts = [root / script for script in re.findall(r"launch/[\w-]+\.sh", header)]
        texts = [header, *(script.read_text(encoding="utf-8") for script in scripts if script.exists())]
        if not any(f"--config={name}" in text for text in texts):
            found.append(f"{name}: its command does not run it")
    return found


def unbuildable(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "configs").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"configs_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            config = module.get_config()
        except Exception as error:
            found.append(f"configs/{path.name}: {error!r}")
            continue
        if not isinstance(config, ml_collections.ConfigDict):
            found.append(f"configs/{path.name}: get_config() gives a {type(config).__name__}, not a ConfigDict")
    return found


LAWS = [
    misplaced,
    cycles,
    impure,
    undeclared,
    partition_specs,
    nameless,
    too_long,
    headerless,
    unbuildable,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_checkout_keeps_the_law(law):
    assert law(ROOT) == []


def test_the_laws_see_the_sources():
    edges = graph(ROOT)
    assert "reeval.taxonomy" in edges["reeval.pairs"]
    assert any((ROOT / "configs").glob("*.py"))


LAWFUL_CONFIG = '''"""A config.

Command: reeval train --config=configs/tiny.py
Hardware: a laptop
Memory: 1 GB
Duration: 1 minute
Expected figures: D 90
"""
import ml_collections
def get_config():
    return ml_collections.ConfigDict()
'''
LAWFUL = {
    "pyproject.toml": """[project]
dependencies = ["ml-collections", "numpy>=2", "jax"]
optional-dependencies = {check = ["scikit-learn"], test = ["hypothesis"]}
""",
    "configs/tiny.py": LAWFUL_CONFIG,
    ".venv/lib/numpy/utils.py": "",
    "reeval/__init__.py": "",
    "reeval/pairs.py": "import json",
    "reeval/lora.py": "import jax",
    "reeval/models/__init__.py": "from reeval.models import qwen3",
    "reeval/models/qwen3.py": "from reeval import lora\nimport jax",
    "reeval/metrics/late.py": "def late():\n    import sklearn",
    "reeval/sharding.py": "from jax.sharding import PartitionSpec\nimport reeval.models.qwen3",
    "reeval/cli.py": "import os, numpy\nfrom reeval.pairs import read",
}
UNLAWFUL = [
    (misplaced, "reeval/pairs.py", "from reeval.cli import main"),
    (misplaced, "reeval/pairs.py", "import reeval.lora"),
    (misplaced, "reeval/pairs.py", "def late():\n    from reeval import lora"),
    (misplaced, "reeval/lora.py", "import importlib\nimportlib.import_module('reeval.sharding')"),
    (misplaced, "reeval/tricks.py", ""),
    (cycles, "reeval/models/qwen3.py", "import reeval.models"),
    (cycles, "reeval/lora.py", "from reeval.models import layers"),
    (cycles, "reeval/lora.py", "import reeval.models.qwen3"),
    (impure, "reeval/pairs.py", "import numpy"),
    (impure, "reeval/models/qwen3.py", "from pathlib import Path"),
    (impure, "reeval/metrics/rates.py", "import jax.numpy as jnp"),
    (undeclared, "reeval/cli.py", "import torch.nn"),
    (undeclared, "reeval/cli.py", "from hypothesis import given"),
    (undeclared, "reeval/cli.py", "def late():\n    from hypothesis import given"),
    (undeclared, "reeval/cli.py", "def late():\n    pass\nimport sklearn"),
    (partition_specs, "reeval/cli.py", "from jax.sharding import PartitionSpec as P"),
    (partition_specs, "reeval/cli.py", "import jax\nspec = jax.sharding.PartitionSpec('data')"),
    (partition_specs, "reeval/cli.py", "import jax\nspec = jax.P('data')"),
    (partition_specs, "reeval/cli.py", "from jax import P"),
    (nameless, "reeval/models/utils.py", ""),
    (nameless, "tests/helpers.py", ""),
    (too_long, "reeval/cli.py", "\n" * (LONGEST + 1)),
    *((headerless, "configs/tiny.py", LAWFUL_CONFIG.replace(field, "Other")) for field in HEADER),
    (headerless, "configs/tiny.py", LAWFUL_CONFIG.replace("1 GB", "")),
    (headerless, "configs/tiny.py", LAWFUL_CONFIG.replace("1 GB", "FIXME")),
    (headerless, "configs/tiny.py", LAWFUL_CONFIG.replace("reeval train --config=", "bash launch/other.sh ")),
    (headerless, "configs/tiny.py", LAWFUL_CONFIG.replace("configs/tiny.py", "configs/other.py")),
    (headerless, "configs/tiny.py", ""),
    (unbuildable, "configs/tiny.py", "def get_config():\n    return 1 / 0"),
    (unbuildable, "configs/tiny.py", "def get_config():\n    return {}"),
    (unbuildable, "configs/tiny.py", "x = 1"),
]


def checkout(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_no_law_objects_to_a_lawful_checkout(tmp_path):
    root = checkout(tmp_path, LAWFUL)
    assert [law(root) for law in LAWS] == [[]] * len(LAWS)


@pytest.mark.parametrize(("law", "name", "text"), UNLAWFUL)
def test_each_law_can_fail(tmp_path, law, name, text):
    root = checkout(tmp_path, LAWFUL | {name: text})
    assert len(law(root)) >= 1
