#!/usr/bin/env bash
# What the second stage changes: supervised fine-tuning and preference training of the embedded judge on the shipped
# pairs, with one seed after the other; docs/results.md reads the results. Started again, it goes on where it stopped.
#
#   bash launch/preference_study.sh                            # seeds 0, 1 and 2, into runs/preference_study
#   SEEDS="3 4" WORKDIR=/elsewhere bash launch/preference_study.sh --config.preference.beta=0.1
set -euo pipefail
workdir=${WORKDIR:-}
case $workdir in "" | /*) ;; *) workdir=$PWD/$workdir ;; esac
cd "$(dirname "$0")/.."
workdir=${workdir:-runs/preference_study}
python=$(bash launch/environment.sh run)
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
mkdir -p "$workdir"

reeval=$(dirname "$python")/reeval
for split in train heldout; do
    gzip -dc "reeval/shipped/$split.jsonl.gz" > "$workdir/$split.jsonl"
done
# Pairs that the first stage has not seen, of reports by the same part of the generator.
if ! [ -e "$workdir/second.jsonl" ]; then
    "$python" -m reeval.synth.generator --split=train --count=2000 --seed=100 "--out=$workdir/second_reports.jsonl"
    "$reeval" synth "--reports=$workdir/second_reports.jsonl" "--out=$workdir/second.jsonl" --count=4000 --seed=100
fi
# Reports of the shipped pairs are longer than the quickstart's.
pairs=(
    "--config.eval.pairs=$workdir/heldout.jsonl"
    --config.eval.max_prompt_tokens=1152
    --config.eval.base=False
)

for seed in ${SEEDS:-0 1 2}; do
    sft=$workdir/sft$seed
    dpo=$workdir/dpo$seed
    printf '\n== Seed %s: supervised fine-tuning\n' "$seed"
    "$reeval" train --config=configs/tiny.py "--config.data.train=$workdir/train.jsonl" "${pairs[@]}" \
        "--workdir=$sft" "--config.train.seed=$seed" --config.data.sequence_length=1280 --config.train.batch_size=3
    mkdir -p "$dpo"
    printf '\n== Seed %s: preferences\n' "$seed"
    [ -e "$dpo/preferences.jsonl" ] || "$reeval" prefs "--workdir=$sft" "--out=$dpo/preferences.jsonl" \
        "--pairs=$workdir/second.jsonl" --samples=2 --mixture=sampled:1 --significant=0.56 "--seed=$seed"
    config=(
        --config=configs/tiny_dpo.py
        "--config.data.train=$workdir/second.jsonl"
        "${pairs[@]}"
        "--workdir=$dpo"
        "--config.start=$sft"
        "--config.data.preferences=$dpo/preferences.jsonl"
        "--config.train.seed=$seed"
        --config.data.sequence_length=1920
        --config.train.batch_size=4
    )
    printf '\n== Seed %s: preference training\n' "$seed"
    "$reeval" train "${config[@]}" "$@"
    printf '\n== Seed %s: the held-out pairs, judged before and after\n' "$seed"
    "$reeval" eval "${config[@]}" "$@"
done

# shellcheck disable=SC2086  # several seeds
"$python" launch/preference_results.py "$workdir" ${SEEDS:-0 1 2}
