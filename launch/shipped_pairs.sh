#!/usr/bin/env bash
# Makes the shipped pairs, byte for byte as they stand in reeval/shipped, from nothing but this repository:
#
#   bash launch/shipped_pairs.sh                               # into runs/shipped; says whether they are the same
#   WORKDIR=/elsewhere PYTHON=python3 bash launch/shipped_pairs.sh
set -euo pipefail
workdir=${WORKDIR:-}
case $workdir in "" | /*) ;; *) workdir=$PWD/$workdir ;; esac
cd "$(dirname "$0")/.."
workdir=${workdir:-runs/shipped}
python=${PYTHON:-$(bash launch/environment.sh run)}
mkdir -p "$workdir"

make_set() { # split, reports, pairs
    rm -f "$workdir/$1.jsonl" "$workdir/$1.jsonl".* "$workdir/$1_reports.jsonl"
    "$python" -m reeval.synth.generator --split="$1" --count="$2" --seed=0 --out="$workdir/$1_reports.jsonl"
    "$python" -m reeval.cli synth --reports="$workdir/$1_reports.jsonl" --out="$workdir/$1.jsonl" --count="$3"
}
make_set train 2000 4000
make_set heldout 320 640

for split in train heldout; do
    if gzip -dc "reeval/shipped/$split.jsonl.gz" | cmp -s - "$workdir/$split.jsonl"; then
        echo "$split: the same as the shipped pairs"
    else
        echo "$split: NOT the same as the shipped pairs; to ship these: gzip -9nc $workdir/$split.jsonl > reeval/shipped/$split.jsonl.gz" >&2
        different=1
    fi
done
exit "${different:-0}"
