#!/usr/bin/env bash
# Makes, or finds ready, a virtual environment of this checkout and prints the path of its Python.
# Progress and problems go to stderr.
#
#   python=$(bash launch/environment.sh run)     # what a user needs
#   python=$(bash launch/environment.sh test)    # also pytest, ruff, mypy, and a CPU build of torch where pip finds one
#   bash launch/environment.sh find 3.12         # makes nothing: prints a working Python 3.12 of this machine, or fails
#
# PYTHON=/path/to/python chooses the Python. Environments stand in .venv/, one a purpose and Python version; to start
# over, delete it. Versions come from launch/pins.txt, packages from wherever pip is set to look.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'reeval: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Prints 3.11 and the like. A pyenv shim may stand on the PATH and yet fail when it is run.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Prints the first Python that works, of the minor version given or else of any that we support.
find_python() {
    local wanted=${1:-} candidate version seen=""
    local candidates=(python3.12 python3.11 python3 python)
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    elif command -v pyenv >/dev/null; then
        # Versions that pyenv has but has not put on the PATH.
        for version in 3.12 3.11; do
            candidate=$(pyenv prefix "$(pyenv latest "$version" 2>/dev/null)" 2>/dev/null) || continue
            candidates+=("$candidate/bin/python")
        done
    fi
    for candidate in "${candidates[@]}"; do
        candidate=$(command -v "$candidate") || continue
        version=$(version_of "$candidate") || continue
        case $version in
            3.[0-9] | 3.10 | [012].*) seen="$seen, $candidate is $version" && continue ;;
            *) ;;
        esac
        [ -z "$wanted" ] || [ "$wanted" = "$version" ] || continue
        printf '%s\n' "$candidate"
        return
    done
    if [ -n "${PYTHON:-}" ] && [ -z "$seen" ]; then seen=", PYTHON=$PYTHON does not run or is another version"; fi
    fail "no Python ${wanted:-3.11 or newer} found${seen}; install one, or name it: PYTHON=/path/to/python3.12"
}

# One line for what pip says in many: $1 is its log.
fail_pip() {
    if grep -qiE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|unreachable|refused' "$1"
    then fail "pip reaches no package index: is there a network? Run the same command again then. (log: $1)"
    fi
    fail "pip failed: $(grep -m 1 -E '^ *ERROR' "$1" || tail -n 1 "$1") (log: $1)"
}

# torch has no light default build, so the parity tests that need it run where pip finds one made for the CPU.
# That there is none is an answer, and remembered; to fail for another reason is not.
install_parity() {
    local dir=$1
    rm -f "$dir/.no-torch"
    "$dir/bin/python" -m pip install -c launch/pins.txt -r launch/pins-parity.txt >"$dir/parity.log" 2>&1 && return
    if grep -q 'No matching distribution found for torch' "$dir/parity.log" &&
        ! grep -qE 'NewConnectionError|NameResolutionError|Timeout' "$dir/parity.log"; then
        touch "$dir/.no-torch"
        return
    fi
    say "torch could not be installed: its parity tests are skipped now, and it is tried again (log: $dir/parity.log)"
    return 1
}

make_environment() {
    local purpose=$1 base version dir key project=. start=$SECONDS
    [ "$purpose" = run ] || project=".[test]"
    base=$(find_python)
    version=$(version_of "$base")
    dir=.venv/$purpose-$version
    # An environment is known by what it was made from, and by where: it cannot be moved.
    key=$({
        printf '%s\n' "$PWD" "${PIP_INDEX_URL:-} ${PIP_EXTRA_INDEX_URL:-} ${PIP_FIND_LINKS:-}"
        cat pyproject.toml launch/pins.txt launch/pins-parity.txt launch/environment.sh
    } | cksum)
    if [ "$(cat "$dir/.complete" 2>/dev/null)" != "$key" ] || ! [ -x "$dir/bin/python" ]; then
        "$base" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$base cannot make virtual environments (on Debian and Ubuntu: apt install python$version-venv)"
        # What was complete once is brought up to date. What a kill left half done is made anew.
        if [ -e "$dir/.complete" ] && [ -x "$dir/bin/python" ]; then
            say "bringing $dir up to date"
            rm "$dir/.complete"
        else
            say "making $dir with $base; this takes a minute or three, once"
            "$base" -m venv --clear "$dir"
        fi
        # What builds first, from the pins too, so that no build needs an environment of its own; setuptools is
        # rouge-score's, which comes as source.
        { "$dir/bin/python" -m pip install -c launch/pins.txt hatchling editables setuptools &&
            "$dir/bin/python" -m pip install -c launch/pins.txt --no-build-isolation -e "$project"
        } >"$dir/pip.log" 2>&1 || fail_pip "$dir/pip.log"
        [ "$purpose" = run ] || install_parity "$dir" || key="again"
        printf '%s' "$key" >"$dir/.complete"
        say "$dir is ready after $((SECONDS - start)) s"
    fi
    [ ! -e "$dir/.no-torch" ] ||
        say "pip finds no CPU build of torch for Python $version: the parity tests that need it are skipped"
    printf '%s\n' "$PWD/$dir/bin/python"
}

case ${1:-} in
    run | test) make_environment "$1" ;;
    find) find_python "${2:-}" ;;
    *) fail "usage: bash launch/environment.sh run | test | find [3.12]" ;;
esac
