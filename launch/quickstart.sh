#!/usr/bin/env bash
# The whole way on one small machine, with nothing installed but Python: makes pairs, fine-tunes the embedded judge
# with LoRA, evaluates it before and after, and exports it. Started again, it goes on where it was stopped.
#
#   bash launch/quickstart.sh                    # results in runs/quickstart
#   WORKDIR=/elsewhere bash launch/quickstart.sh
set -euo pipefail
workdir=${WORKDIR:-}
case $workdir in "" | /*) ;; *) workdir=$PWD/$workdir ;; esac
cd "$(dirname "$0")/.."
workdir=${workdir:-runs/quickstart}
python=$(bash launch/environment.sh run)
mkdir -p "$workdir"

step() { printf '\n== %s\n' "$*"; }
reeval() { "$python" -m reeval.cli "$@"; }

# A pair file appears under its name only when it is whole.
pairs() {
    local out=$1
    shift
    [ -e "$out" ] && return
    "$python" -m reeval.synth "$@" --out "$out.part"
    mv "$out.part" "$out"
}

step "1/4 Making report pairs: two template families, one to learn from and one held out"
pairs "$workdir/train.jsonl" --family b --count 4000 --seed 0
pairs "$workdir/heldout.jsonl" --family c --count 400 --seed 1

step "2/4 Fine-tuning the embedded judge with LoRA"
reeval train --config=configs/tiny.py --workdir="$workdir"

step "3/4 Judging the held-out pairs with the base and with the tuned judge, in one pass and in two"
reeval eval --config=configs/tiny.py --workdir="$workdir"

step "4/4 Writing a Hugging Face checkpoint"
reeval export --workdir="$workdir" --out="$workdir/judge"

cat <<END

These figures come from a toy judge on text of a generator. They show that the pipeline works, and nothing about real
reports.

  learning curves and D/R   $workdir/tensorboard
  every verdict             $workdir/verdicts.jsonl
  results                   $workdir/results.json
  checkpoint                $workdir/judge, which transformers and vLLM load as it is

Next:
  $python -m tensorboard.main --logdir $workdir/tensorboard
  $python -m reeval.cli score --model=$workdir/judge --pairs=$workdir/heldout.jsonl --out=$workdir/scores.jsonl
  configs/qwen3_8b.py says what a real judge takes.
END
