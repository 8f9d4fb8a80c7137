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
    "--config.data.train=$start/train.jsonl"
    "--config.data.preferences=$workdir/preferences.jsonl"
    "--config.eval.pairs=$start/heldout.jsonl"
    "--workdir=$workdir"
)

printf '\n== 1/3 Preferences: verdicts that the gold ones are better than, the judge'"'"'s own among them\n'
# The judge's own mistakes are what sharpens it most (docs/results.md).
[ -e "$workdir/preferences.jsonl" ] || "$reeval" prefs "--workdir=$start" "--out=$workdir/preferences.jsonl" \
    --samples=2 --mixture=sampled:0.85,dropped:0.15
printf '\n== 2/3 Training on them\n'
"$reeval" train "${config[@]}" "$@"
printf '\n== 3/3 Judging the held-out pairs with the base, the quickstart'"'"'s judge and this one\n'
"$reeval" eval "${config[@]}" "$@"
