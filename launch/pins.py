"""Prints launch/pins.txt: what pip resolves for the tests, the same list for all Pythons given.

    python3 launch/pins.py PYTHON3.11 PYTHON3.12 > launch/pins.new && mv launch/pins.new launch/pins.txt

Nothing is installed. No index or host is written, so the list works wherever the packages are.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """The minor version of an interpreter, and normalised name -> version of all that it would install."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    # An editable install needs editables beside the build backend.
    command += [f"{ROOT}[test,plan-gpu]", *build, "editables"]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True)
    found = (item["metadata"] for item in json.loads(report)["install"])
    pins = {re.sub(r"[-_.]+", "-", m["name"]).lower(): m["version"] for m in found}
    pins.pop("reeval")
    return version.strip(), pins


def main(pythons: list[str]) -> None:
    if len(pythons) != 2:
        raise SystemExit(__doc__)
    (old_minor, old), (new_minor, new) = sorted(
        (resolve(python) for python in pythons), key=lambda found: int(found[0].split(".")[1])
    )
    print("# Made by launch/pins.py, for pip's --constraint: of these, what is needed is installed.")
    print(f"# Resolved on Python {old_minor} and {new_minor}; newer ones take the lines of {new_minor}.")
    for name in sorted(old | new):
        if old.get(name) == new.get(name):
            print(f"{name}=={old[name]}")
            continue
        if name in old:
            print(f'{name}=={old[name]} ; python_version < "{new_minor}"')
        if name in new:
            print(f'{name}=={new[name]} ; python_version >= "{new_minor}"')


if __name__ == "__main__":
    main(sys.argv[1:])
