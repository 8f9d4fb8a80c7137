#!/usr/bin/env bash
# Trains the embedded judge from scratch, into runs/embedded_judge. To ship it: cp runs/embedded_judge/* reeval/embedded
#
#   bash launch/embedded_judge.sh                              # in an environment made here
#   PYTHON=python3 bash launch/embedded_judge.sh --out DIR     # with a Python that has the packages already
#   bash launch/embedded_judge.sh --steps 100 --rows 8 --workers 1 --out DIR    # a trial on a small machine
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(bash launch/environment.sh run)}
exec "$python" -m reeval.from_scratch --config=configs/embedded_judge.py --out=runs/embedded_judge "$@"
