#!/usr/bin/env bash
# The second stage on one small machine: goes on from the quickstart's judge, of whose pairs it makes preferences, and
# judges the held-out pairs with the judge before and after. Started again, it goes on where it was stopped.
#
#   bash launch/tiny_dpo.sh                                        # from runs/quickstart, into runs/tiny_dpo
#   START=/elsewhere WORKDIR=/there bash launch/tiny_dpo.sh --config.train.seed=1
set -euo pipefail
absolute() { case $1 in "" | /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }
start=$(absolute "${START:-}")
workdir=$(absolute "${WORKDIR:-}")
cd "$(dirname "$0")/.."
start=${start:-runs/quickstart}
workdir=${workdir:-runs/tiny_dpo}
python=$(bash launch/environment.sh run)
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
[ -f "$start/run.json" ] || { echo "reeval: $start: holds no run; make it first: bash launch/quickstart.sh" >&2; exit 2; }
mkdir -p "$workdir"

reeval=$(dirname "$python")/reeval
config=(
    --config=configs/tiny_dpo.py
    "--config.start=$start"
    "--config.data.train=$workdir/pairs.jsonl"
    "--config.data.preferences=$workdir/preferences.jsonl"
    "--config.eval.pairs=$start/heldout.jsonl"
    "--workdir=$workdir"
)

printf '\n== 1/3 Preferences, of new pairs: the gold verdict over what the judge says of them, where that is wrong\n'
if ! [ -e "$workdir/pairs.jsonl" ]; then
    "$python" -m reeval.synth.generator --split=train --count=2000 --seed=2 --sentences=2-4 "--out=$workdir/reports.jsonl"
    "$reeval" synth "--reports=$workdir/reports.jsonl" "--out=$workdir/pairs.jsonl" --count=4000 --seed=2
fi
# docs/results.md says what else was tried.
[ -e "$workdir/preferences.jsonl" ] || "$reeval" prefs "--workdir=$start" "--out=$workdir/preferences.jsonl" \
    "--pairs=$workdir/pairs.jsonl" --samples=2 --mixture=sampled:1 --significant=0.56
printf '\n== 2/3 Training on them\n'
"$reeval" train "${config[@]}" "$@"
printf '\n== 3/3 Judging the held-out pairs with the base, the quickstart'"'"'s judge and this one\n'
"$reeval" eval "${config[@]}" "$@"
