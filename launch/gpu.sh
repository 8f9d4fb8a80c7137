#!/usr/bin/env bash
# Runs reeval on the GPUs of this machine, in one process for all of them, once launch/gpu_check.py finds nothing
# missing. What stands after -- goes to reeval as it is.
#
#   bash launch/gpu.sh -- train --config=configs/qwen3_8b.py --workdir=runs/q
#   bash launch/gpu.sh --gpus=0,1 -- train ...      # these, by nvidia-smi's numbers
#   bash launch/gpu.sh --keep-alive -- train ...    # starts it again when it was killed, or stopped with its work saved
#
# Python is PYTHON=/path/to/python, or else the active virtual environment's, or else that of launch/environment.sh run.
# Exit codes are reeval's: 0 done, 2 a mistake of the user's or something missing here, 75 stopped with its work saved,
# 1 the rest. SIGTERM, on which reeval saves and stops, and SIGINT reach it. Between two starts are 10 s, or what
# REEVAL_PAUSE_SECONDS says.
set -euo pipefail
here=$(dirname "$0")

say() { printf 'reeval: %s\n' "$*" >&2; }
fail() { say "$*"; exit 2; }

gpus="" keep_alive=""
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
        --gpus=*) gpus=$1 ;;
        --keep-alive) keep_alive=1 ;;
        *) fail "launch/gpu.sh: no option $1; what is for reeval stands after --: bash launch/gpu.sh -- train ..." ;;
    esac
    shift
done
[ $# -gt 1 ] || fail "launch/gpu.sh: say what to run after --: bash launch/gpu.sh -- train --config=... --workdir=..."
shift

python=${PYTHON:-${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}}
python=${python:-$(bash "$here/environment.sh" run)}
command -v "$python" >/dev/null || fail "no Python at $python; activate an environment, or give PYTHON=/path/to/python"

# CUDA counts the fastest GPU first unless told; so a number means to it what it means to nvidia-smi.
export CUDA_DEVICE_ORDER=${CUDA_DEVICE_ORDER:-PCI_BUS_ID}
CUDA_VISIBLE_DEVICES=$("$python" "$here/gpu_check.py" ${gpus:+"$gpus"})
export CUDA_VISIBLE_DEVICES
commas=${CUDA_VISIBLE_DEVICES//[^,]/}
count=$((${#commas} + 1))

# Or jax would go on with the CPU in silence where it cannot have the GPU. With ",cpu" it would, too.
export JAX_PLATFORMS=cuda
# jax takes 75 % at the start by default; nothing else runs on these GPUs. The rest is for CUDA's and NCCL's own.
# It refuses to start with both names set, of which the second is the old one.
[ -n "${XLA_CLIENT_MEM_FRACTION:-}${XLA_PYTHON_CLIENT_MEM_FRACTION:-}" ] || export XLA_CLIENT_MEM_FRACTION=0.9
# Under Slurm and MPI jax takes it that there is one process a GPU, and uses one of them. Without --distributed unused.
export JAX_LOCAL_DEVICE_IDS=${JAX_LOCAL_DEVICE_IDS:-$(seq -s , 0 $((count - 1)))}
# Weights that are gathered while the layer before computes: off by default, on in NVIDIA's images of jax. XLA_FLAGS may
# also name a file, to which nothing can be added. NCCL finds its own way and is left to it.
if [ "$count" -gt 1 ] || [ "${SLURM_NTASKS:-1}" -gt 1 ]; then
    case ${XLA_FLAGS:-} in
        *xla_gpu_enable_latency_hiding_scheduler* | [!-]*) ;;
        *) export XLA_FLAGS="${XLA_FLAGS:+$XLA_FLAGS }--xla_gpu_enable_latency_hiding_scheduler=true" ;;
    esac
fi

command=("$python" -m reeval.cli "$@")
# With exec, signals go to reeval itself and its exit code is this script's.
[ -n "$keep_alive" ] || exec "${command[@]}"

asked=0 child="" quick=0 pause=${REEVAL_PAUSE_SECONDS:-10}
pass_on() {
    asked=$((asked + 1))
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null || true
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT
while :; do
    began=$SECONDS
    # A process group of its own (-m): else bash has it ignore SIGINT, as it does with all that runs in the background.
    set -m
    "${command[@]}" &
    child=$!
    set +m
    [ "$asked" = 0 ] || kill -s TERM "$child" 2>/dev/null || true
    # A signal ends wait before the child ends; it did end when none came.
    while :; do
        code=0 before=$asked
        wait "$child" || code=$?
        [ "$asked" != "$before" ] || break
    done
    child=""
    [ "$asked" = 0 ] || exit "$code"
    [ "$code" = 75 ] || [ "$code" -ge 128 ] || exit "$code"
    # Killed thrice before it could do anything, it would be killed again: too little memory, or a flag unknown to XLA.
    if [ "$code" -ge 128 ] && [ $((SECONDS - began)) -lt 60 ]; then quick=$((quick + 1)); else quick=0; fi
    if [ "$quick" = 3 ]; then
        say "killed within a minute of its start, three times (exit code $code); not started again"
        exit "$code"
    fi
    say "ended with exit code $code; started again in $pause s"
    sleep "$pause"
    [ "$asked" = 0 ] || exit "$code"
done
