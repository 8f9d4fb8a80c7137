#!/usr/bin/env bash
# Trains the embedded judge from scratch and writes it as a Hugging Face directory. Started again, it goes on where it
# was stopped. To ship it: cp runs/embedded_judge/judge/* reeval/embedded
#
#   bash launch/embedded_judge.sh                              # in an environment made here; into runs/embedded_judge
#   WORKDIR=/elsewhere PYTHON=python3 bash launch/embedded_judge.sh    # with a Python that has the packages already
#   WORKDIR=/elsewhere bash launch/embedded_judge.sh --config.train.steps=100 --config.data.rows=8    # a trial
set -euo pipefail
workdir=${WORKDIR:-}
case $workdir in "" | /*) ;; *) workdir=$PWD/$workdir ;; esac
cd "$(dirname "$0")/.."
workdir=${workdir:-runs/embedded_judge}
python=${PYTHON:-$(bash launch/environment.sh run)}
"$python" -m reeval.cli train --config=configs/embedded_judge.py "--workdir=$workdir" "$@"
rm -rf "$workdir/judge"
"$python" -m reeval.cli export "--workdir=$workdir" "--out=$workdir/judge"
