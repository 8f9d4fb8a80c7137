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
# glibc takes large buffers back from the system at every step; in huge pages that costs a third of the time.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
mkdir -p "$workdir"

reeval=$(dirname "$python")/reeval
config=(
    --config=configs/tiny.py
    "--config.data.train=$workdir/train.jsonl"
    "--config.eval.pairs=$workdir/heldout.jsonl"
    "--workdir=$workdir"
)

step() { printf '\n== %s\n' "$*"; }

# Whatever is written to $1.part stands under the name $1 only when it is whole, and is not made twice.
once() {
    local out=$1
    shift
    [ -e "$out" ] && return
    rm -rf "$out.part"
    "$@"
    mv "$out.part" "$out"
}

step "1/4 Report pairs: reports to learn from, and held-out ones in words that no stage of training has seen"
reports() { "$python" -m reeval.synth.generator "$@" --sentences=2-4; }
once "$workdir/train_reports.jsonl" reports --split=train --count=2000 --seed=0 --out="$workdir/train_reports.jsonl.part"
once "$workdir/heldout_reports.jsonl" reports --split=heldout --count=200 --seed=1 --out="$workdir/heldout_reports.jsonl.part"
"$reeval" synth --reports="$workdir/train_reports.jsonl" --out="$workdir/train.jsonl" --count=4000
"$reeval" synth --reports="$workdir/heldout_reports.jsonl" --out="$workdir/heldout.jsonl" --count=400

step "2/4 Fine-tuning the embedded judge with LoRA"
"$reeval" train "${config[@]}"

step "3/4 Judging the held-out pairs with the base and with the tuned judge, in one pass and in two"
"$reeval" eval "${config[@]}"

step "4/4 Writing a Hugging Face checkpoint"
once "$workdir/judge" "$reeval" export "--workdir=$workdir" "--out=$workdir/judge.part"

cat <<END

These figures come from a toy judge on text of a generator. They show that the pipeline works, and say nothing about
real reports.

  learning curves, D and R   $workdir/tensorboard
  results and verdicts       $workdir/eval
  checkpoint                 $workdir/judge, which transformers loads as it is

Next:
  $python -m tensorboard.main --logdir $workdir/tensorboard
  $reeval export --workdir=$workdir --out=$workdir/adapter --format=adapter
  configs/qwen3_8b.py says what a real judge takes.
END
