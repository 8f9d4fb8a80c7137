#!/usr/bin/env bash
# Lint, types and the whole suite, in an environment of its own. Arguments go to pytest:
#
#   bash launch/test.sh                          # everything, two tests at a time
#   bash launch/test.sh -n 0 tests/pairs_test.py -k surrogate
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(bash launch/environment.sh test)

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
exec "$python" -m pytest -n 2 --dist worksteal "$@"
