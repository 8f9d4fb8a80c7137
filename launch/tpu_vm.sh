#!/usr/bin/env bash
# reeval on Google Cloud TPU VMs, one host or a pod:
#
#   launch/tpu_vm.sh create --name=j --zone=us-east5-b --type=v6e-16 --spot    # waits until it is there
#   launch/tpu_vm.sh setup  --name=j --zone=us-east5-b                         # this checkout, pinned packages
#   launch/tpu_vm.sh run    --name=j --zone=us-east5-b --env=HF_TOKEN -- train --config=configs/qwen3_8b.py \
#       --workdir=/mnt/bucket/run --config.train.steps=10
#   launch/tpu_vm.sh logs   --name=j --zone=us-east5-b [--worker=all]          # the last lines, and on while it runs
#   launch/tpu_vm.sh status | stop | delete --name=j --zone=us-east5-b
#
# A workdir is a directory that all workers see: a bucket mounted with gcsfuse, or Filestore.
#
# run starts `reeval ... --distributed` on all workers, follows worker 0's log and exits with the job's code. The job
# goes on when ssh or this script ends; run again to follow it again. What it needs is asked for by each verb:
#
#   --project=P                  a project other than gcloud's own
#   --type=T --version=V         accelerator type and runtime version (create; a version is chosen by type)
#   --spot | --reserved          by default on demand (create)
#   --dirty                      setup: also what is not committed and not ignored; without it that is an error
#   --env=NAME                   run: sends this variable to the job in a file, never on a command line; repeatable
#   --keep-alive --type=T        run: creates and sets up as needed, and does so again after a preemption; also takes
#                                the flags of create and setup. The code stays that of the first start. To end it:
#                                stop, then delete; to delete alone is a preemption to it.
#   --dry-run                    prints the commands, runs none of them
#
# Exit codes: reeval's own from run (0 done, 2 wrong use, 75 stopped and saved: run again to go on, 1 and others a
# failure); 2 wrong use of this script; 1 gcloud failed. REEVAL_PAUSE (10) is the time in seconds between looks, and
# grows from try to try; REEVAL_GRACE (120) is how long a job may take to end before it is killed.
set -euo pipefail

say() { printf 'reeval: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
wrong() { say "$*"; exit 2; }

# ---- On a worker: this file, as part of the checkout that setup brought, run by ssh in ~/reeval as `worker VERB` ----

# A lock ends with its processes, so unlike a pid it tells the truth after a kill or a reboot.
running() { [ ! -e job/code ] && [ -e job/pid ] && ! flock -n job/alive true; }

# worker HOST STATE RUN COMMAND SETUP CODE END STOPPED, the one thing that the other side reads.
worker_state() {
    local state=none run=- command=- code=- end=- stopped=-
    if [ -e job/run ]; then read -r run command <job/run; fi
    [ ! -e job/stopped ] || stopped=stopped
    if running; then
        state=running
    elif [ -e job/code ]; then
        state=ended
        read -r code end <job/code
    elif [ -e job/pid ]; then
        state=ended code=137 end=0
    fi
    printf 'worker %s %s %s %s %s %s %s %s\n' \
        "$(hostname)" "$state" "$run" "$command" "$(cat ready)" "$code" "$end" "$stopped"
}

# Ubuntu 22.04, under all runtime versions, comes with a Python that is too old.
worker_python() {
    local python
    if ! { python=$(bash launch/environment.sh find) && "$python" -c 'import ensurepip, venv'; } 2>/dev/null; then
        sudo apt-get -qq -o DPkg::Lock::Timeout=300 update >&2 || true
        sudo apt-get -qq -o DPkg::Lock::Timeout=300 install -y python3.11-venv >&2 ||
            fail "no Python 3.11 or newer on $(hostname), and apt-get has none: install one there, then setup again"
        python=$(command -v python3.11)
    fi
    printf '%s\n' "$python"
}

worker_setup() { # what identifies the checkout, which lies unpacked in new/
    local python venv=../venv
    exec 8>>lock
    flock 8
    [ "$(cat ready 2>/dev/null)" != "$1" ] || return 0
    ! running || fail "a job runs on $(hostname): stop it before another setup"
    rm -rf ready code
    mv new code
    cd code
    if [ ! -e ../venv.complete ]; then
        python=$(worker_python)
        "$python" -m venv --clear $venv >&2 || fail "$python makes no environment on $(hostname): install python3-venv"
    fi
    touch ../venv.complete
    # What builds first, from the pins too, so that no build needs an environment of its own.
    { $venv/bin/python -m pip install -c launch/pins.txt hatchling editables setuptools &&
        $venv/bin/python -m pip install -c launch/pins.txt --no-build-isolation -e '.[tpu,gcs]'
    } >../pip.log 2>&1 ||
        fail "pip failed on $(hostname): $(grep -m 1 -E '^ *ERROR' ../pip.log || tail -n 1 ../pip.log)"
    printf '%s\n' "$1" >../ready
}

worker_start() { # run, command's checksum, reeval's arguments
    local run=$1 command=$2
    shift 2
    mkdir -p job
    exec 8>>lock
    flock 8
    # The same run comes twice when ssh failed on another worker.
    if [ "$(cut -d ' ' -f 1 job/run 2>/dev/null)" != "$run" ] && ! running; then
        rm -f job/pid job/code job/stopped
        [ ! -e job/log ] || mv -f job/log job/log.1
        printf '%s %s\n' "$run" "$command" >job/run
        nohup setsid bash code/launch/tpu_vm.sh worker job "$run" "$@" </dev/null >job/log 2>&1 8>&- &
        for _ in $(seq 100); do
            [ ! -e job/pid ] || break
            sleep 0.1
        done
    fi
    rm -f env.*
    worker_state
}

worker_job() { # run, reeval's arguments
    local code=0 env=env.$1
    shift
    exec 6>>job/alive
    flock 6
    # shellcheck disable=SC1090
    if [ -e "$env" ]; then . "./$env"; fi
    printf '%s\n' $$ >job/pid
    # The signal goes to the whole group; this shell stays to write down how the job ended.
    trap : TERM
    cd code
    ../venv/bin/reeval "$@" || code=$?
    printf '%s %s\n' $code "$(date +%s.%N)" >../job/code.part
    mv ../job/code.part ../job/code
}

worker_stop() { # seconds to end in
    local pid end=$((SECONDS + $1))
    if running; then
        pid=$(cat job/pid)
        # Once: a second signal might cut the saving short.
        if [ ! -e job/stopped ]; then
            touch job/stopped
            kill -TERM -- "-$pid"
        fi
        while running && [ $SECONDS -lt $end ]; do sleep 0.2; done
        if running; then
            kill -KILL -- "-$pid"
            while running; do sleep 0.2; done
        fi
    fi
    worker_state
}

worker_log() { tail -c "+$1" job/log 2>/dev/null | head -c 1000000; }

worker_tail() {
    local follow=()
    [ -e job/log ] || { printf '%s: no job yet\n' "$(hostname)"; return; }
    # tail looks for the end of a pid before it reads a last time.
    ! running || follow=(-F -s 0.5 "--pid=$(cat job/pid)")
    tail -n 100 ${follow[@]+"${follow[@]}"} job/log | sed -u "s/^/$(hostname): /"
}

# ---- On the user's machine ----

# A command as it can be pasted, on one line and readable.
show() {
    local word line='' quote="'\\''"
    for word; do
        case $word in
            *[[:cntrl:]]*) line+=" $(printf %q "$word")" ;;
            "" | *[!A-Za-z0-9_./:=,@+-]*) line+=" '${word//"'"/$quote}'" ;;
            *) line+=" $word" ;;
        esac
    done
    printf '%s\n' "${line# }"
}

local_step() { if [ "$dry" ]; then show "$@"; else "$@"; fi; }

nap() { sleep "$(awk -v n="$1" -v pause="$pause" 'BEGIN { s = n * pause; print (s > 600 ? 600 : s) }')"; }

# ssh gives 255; the rest is in gcloud's words.
transient() {
    local words='unavailable|internal error|deadline exceeded|timed? ?out|connection (reset|refused|closed)'
    [ "$1" -eq 255 ] || grep -qiE "$words|rate limit|too many requests|return code \[255\]" "$scratch/err"
}

# gcloud, again where its failure may pass. What it prints is in $scratch/out and $scratch/err.
call() {
    local tries=3 try code
    if [ "$dry" ]; then
        show gcloud "$@"
        return
    fi
    # Who keeps a job alive should not give up on a bad line; but ssh fails just so when a slice is gone.
    [ -z "$keep" ] || [ "$3" = tpu-vm ] || tries=7
    for ((try = 0; ; try++)); do
        code=0
        gcloud "$@" </dev/null >"$scratch/out" 2>"$scratch/err" || code=$?
        [ $code -ne 0 ] || return 0
        [ $try -lt $tries ] && transient $code || return 1
        nap $((1 << try))
    done
}

problem() {
    grep -m 1 '^reeval: ' "$scratch/err" | sed 's/^reeval: //' ||
        grep -m 1 -i error "$scratch/err" | sed 's/^ERROR: //' || sed -n 1p "$scratch/err"
}
fail_gcloud() { fail "gcloud could not $1 $name: $(problem)"; }

not_found() { grep -q 'NOT_FOUND' "$scratch/err"; }

# Sets $state; in a dry run, to what is given. Returns 1 where it cannot be known now.
look() {
    if call compute tpus queued-resources describe "$name" "${place[@]}" '--format=value(state.state)'; then
        if [ "$dry" ]; then state=$1; else state=$(tr -d '[:space:]' <"$scratch/out"); fi
    else
        not_found || return 1
        state=NOT_FOUND
    fi
}

# What a slice never comes back from.
gone() {
    case $state in
        SUSPENDING | SUSPENDED | PREEMPTED | FAILED | DELETING | NOT_FOUND) return 0 ;;
        *) return 1 ;;
    esac
}

ssh_to() { # worker, command
    call compute tpus tpu-vm ssh "$name" "${place[@]}" --quiet "--worker=$1" "${ssh_flags[@]}" "--command=$2"
}

scp_to_all() {
    call compute tpus tpu-vm scp "$1" "$name:$2" "${place[@]}" --quiet --worker=all "${ssh_flags[@]/#--ssh/--scp}"
}

# A worker that was not set up has no script to ask.
remote() {
    # shellcheck disable=SC2016
    local word new='echo "worker $(hostname) new - - - - - -"'
    [ "$1" != log ] || new=:
    # shellcheck disable=SC2016
    [ "$1" != tail ] || new='echo "$(hostname): not set up"'
    printf 'cd reeval 2>/dev/null && [ -e ready ] || { %s; exit 0; }; bash code/launch/tpu_vm.sh worker' "$new"
    for word; do printf ' %q' "$word"; done
}

# Sets $states, a line a worker; in a dry run, one in the state given.
ask() { # assumed state, worker's verb and arguments
    local assumed=$1
    shift
    ssh_to all "$(remote "$@")" || return 1
    if [ "$dry" ]; then
        states="worker 0 $assumed - - - 0 0 -"
    else
        states=$(grep '^worker ' "$scratch/out") || { echo "no worker answered" >"$scratch/err" && return 1; }
    fi
}

column() { awk -v n="$1" '{ print $n }' <<<"$states" | sort -u; }
any() { awk -v s="$1" '$3 == s { found = 1 } END { exit !found }' <<<"$states"; }

# CODE STOPPED of the worker that failed first, which is why the others failed too.
first_failure() {
    awk '$3 == "ended" && $7 != 0 { print $8, $7, $9 }' <<<"$states" | LC_ALL=C sort -n | sed -n '1s/^[^ ]* //p'
}

choose_version() {
    [ -z "$version" ] || return 0
    case $type in
        v6e-*) version=v2-alpha-tpuv6e ;;
        v5p-*) version=v2-alpha-tpuv5 ;;
        v5litepod-*) version=v2-alpha-tpuv5-lite ;;
        v[234]-*) version=tpu-ubuntu2204-base ;;
        *) wrong "no runtime version known for --type=$type: give --version=..., or a type such as v6e-16" ;;
    esac
}

# Returns 1 where the slice cannot be had as it is.
wait_until_active() {
    local shown=
    while [ "$state" != ACTIVE ]; do
        ! gone || return 1
        [ "$state" = "$shown" ] || say "$name is ${state:-on its way}"
        shown=$state
        nap 1
        look ACTIVE || fail_gcloud "look at"
    done
}

make() {
    look NOT_FOUND || fail_gcloud "look at"
    if [ "$state" = NOT_FOUND ]; then
        call compute tpus queued-resources create "$name" "${place[@]}" "--node-id=$name" "--accelerator-type=$type" \
            "--runtime-version=$version" --quiet ${tier:+"$tier"} ||
            grep -q ALREADY_EXISTS "$scratch/err" || fail_gcloud create
        look ACTIVE || fail_gcloud "look at"
        # It may take a moment until what was made is also seen.
        [ "$state" != NOT_FOUND ] || state=
    else
        say "$name exists already"
    fi
    wait_until_active
}

create() {
    make || fail "$name is $state and stays so: delete it, then create it again"
    [ "$dry" ] || say "$name is ACTIVE"
}

delete() {
    look ACTIVE || fail_gcloud "look at"
    if [ "$state" = NOT_FOUND ]; then
        say "there is no $name"
        return
    fi
    # What is on its way cannot be deleted before it has arrived.
    while [ "$state" = SUSPENDING ] || [ "$state" = DELETING ]; do
        nap 1
        look SUSPENDED || fail_gcloud "look at"
    done
    call compute tpus queued-resources delete "$name" "${place[@]}" --force --quiet || not_found || fail_gcloud delete
    [ "$dry" ] || say "$name is deleted"
}

# Identifies what setup copies; writes nothing.
identify() {
    local changes
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    checkout=$(git rev-parse HEAD 2>/dev/null) ||
        wrong "setup copies what git tracks, and $PWD is no git checkout: clone the repository"
    changes=$(git status --porcelain)
    if [ -z "$changes" ]; then
        dirty=
    elif [ -z "$dirty" ]; then
        wrong "$PWD has uncommitted changes (${changes%%$'\n'*}): commit them, or give --dirty to copy them too"
    else
        checkout=$({
            printf '%s\n' "$checkout" "$changes"
            git diff --binary HEAD
            git ls-files -z --others --exclude-standard | xargs -0 git hash-object --
        } | git hash-object --stdin)
    fi
}

# Once a start: what is restarted hours later is the code that was begun with.
pack() {
    [ "$dry" ] || [ ! -e "$scratch/code.tar.gz" ] || return 0
    [ -z "$dry" ] || show cd "$PWD"
    if [ "$dirty" ]; then
        # In an index of its own, so that the user's stays as it is.
        # shellcheck disable=SC2016
        local_step env "GIT_INDEX_FILE=$scratch/index" sh -c \
            'git read-tree HEAD && git add -A && git archive --format=tar.gz -o "$1" "$(git write-tree)"' \
            sh "$scratch/code.tar.gz"
    else
        local_step git archive --format=tar.gz -o "$scratch/code.tar.gz" "$checkout"
    fi
}

# Returns 1 where the workers cannot be reached or set up.
install() {
    ask none state || return 1
    if [ -z "$dry" ] && [ "$(column 6)" = "$checkout" ]; then
        say "$name is set up already"
        return
    fi
    # A new checkout under a running job would be noticed only after the copying.
    if any running; then
        echo "reeval: a job runs there: stop it before another setup" >"$scratch/err"
        return 1
    fi
    pack
    [ "$dry" ] || say "setting up $name; the first time this takes some minutes"
    ssh_to all 'mkdir -p -m 700 reeval' || return 1
    scp_to_all "$scratch/code.tar.gz" reeval/code.tar.gz || return 1
    ssh_to all "cd reeval && rm -rf new && mkdir new && tar -xzf code.tar.gz -C new &&\
 bash new/launch/tpu_vm.sh worker setup $checkout" || return 1
    [ "$dry" ] || say "$name is set up"
}

setup() {
    identify
    install || fail_gcloud "set up"
}

# The secrets' one way: a file that only its owner can read, here and there.
write_secrets() {
    local variable
    umask 077
    for variable in ${secrets[@]+"${secrets[@]}"}; do
        if [ "$dry" ]; then
            printf "( umask 077; printf 'export %%s=%%q\\\\n' %s \"\$%s\" >>%s )\n" \
                "$variable" "$variable" "$(show "$scratch/env")"
        else
            printf 'export %s=%q\n' "$variable" "${!variable}" >>"$scratch/env"
        fi
    done
}

# Returns 1 where the workers cannot be reached.
start() {
    local command run
    command=$(printf '%s\0' "${arguments[@]}" | cksum | tr ' ' -)
    ask none state || return 1
    ! any new || [ "$dry" ] || wrong "$name is not set up: launch/tpu_vm.sh setup --name=$name ... first"
    if any running; then
        [ "$(awk '$3 == "running" { print $5 }' <<<"$states" | sort -u)" = "$command" ] ||
            wrong "another job runs on $name: wait for it, or stop it first"
        say "the job runs already on $name: following it"
        return
    fi
    run=$(date +%s)-$$-$((starts += 1))
    if [ ${#secrets[@]} -gt 0 ]; then scp_to_all "$scratch/env" "reeval/env.$run" || return 1; fi
    ask running start "$run" "$command" "${arguments[@]}" || return 1
    [ "$dry" ] || say "started on $(wc -l <<<"$states" | tr -d ' ') workers of $name"
}

show_log() {
    local size
    while ssh_to 0 "$(remote log "$offset")"; do
        [ -z "$dry" ] || return 0
        size=$(wc -c <"$scratch/out")
        cat "$scratch/out"
        offset=$((offset + size))
        [ "$size" -ge 1000000 ] || return 0
    done
    # The next look tells what it is.
    return 0
}

# Until no worker runs any more. Sets $outcome to the job's code or to gone, and $stopped if a user wanted it so.
follow() {
    local misses=0 since=
    offset=1 stopped=
    while :; do
        if ask ended state; then
            misses=0
            show_log
            # A worker that was made anew has lost its part of the job.
            read -r outcome stopped <<<"$(first_failure)" || true
            if [ -z "$outcome" ] && { any new || any none; }; then outcome=137; fi
            any running || break
            # The others wait for one that is gone: they get some time to notice.
            if [ -n "$outcome" ]; then
                since=${since:-$SECONDS}
                [ $((SECONDS - since)) -lt "$grace" ] || ask ended stop 5 || true
            fi
        else
            if look ACTIVE && gone; then
                outcome=gone
                return
            fi
            misses=$((misses + 1))
            [ $misses -lt $((${keep:-0} ? 50 : 5)) ] ||
                fail "no way to the workers of $name, where the job may go on: run again to follow it: $(problem)"
        fi
        nap 1
    done
    outcome=${outcome:-0}
}

again_and_again() {
    local short=0 begun
    while :; do
        outcome=gone begun=$SECONDS stopped=
        if make; then
            if install; then
                begun=$SECONDS
                if start; then follow; else reachable_or_gone "start on"; fi
            else
                reachable_or_gone "set up"
            fi
        fi
        [ -z "$dry" ] || return 0
        case $outcome in
            gone) say "$name is $state" ;;
            75 | 12[89] | 1[3-9]? | 2??) [ "$stopped" != stopped ] || return 0 ;;
            *) return 0 ;;
        esac
        if [ $((SECONDS - begun)) -lt 300 ]; then short=$((short + 1)); else short=0; fi
        if [ $short -gt 5 ]; then
            [ "$outcome" != gone ] || outcome=1
            say "$name ended 6 times in a row within 5 minutes: see its logs, then run again"
            return
        fi
        say "the job ended early ($outcome): making $name anew and going on"
        delete
        nap $((1 << short))
    done
}

# A step failed: because the slice went away, which is no failure here, or for good.
reachable_or_gone() {
    local why
    why=$(problem)
    { look ACTIVE && gone; } || fail "gcloud could not $1 $name: $why"
}

run() {
    local variable
    for variable in ${secrets[@]+"${secrets[@]}"}; do
        [ -n "${!variable:-}" ] || wrong "--env=$variable: it is not set here: export it first"
    done
    case " ${arguments[*]} " in
        *" --distributed "*) ;;
        " train "* | " eval "* | " score "*) arguments+=(--distributed) ;;
    esac
    [ -z "$keep" ] || identify
    trap 'say "the job goes on, if it was started; to end it: launch/tpu_vm.sh stop"; exit 130' INT
    write_secrets
    if [ "$keep" ]; then
        again_and_again
    else
        start || fail_gcloud "start on"
        follow
    fi
    [ -z "$dry" ] || return 0
    case $outcome in
        0) say "the job is done; $name is there, and paid for, until you delete it" ;;
        75) say "the job was asked to stop and saved: run it again to go on" ;;
        gone) fail "$name is $state, its job ended: create it anew and run again, or run with --keep-alive" ;;
        *) say "the job failed with $outcome: launch/tpu_vm.sh logs --worker=all" ;;
    esac
    exit "$outcome"
}

logs() {
    local command code=0
    command=(
        gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --quiet "--worker=$worker" "${ssh_flags[@]}"
        "--command=$(remote tail)"
    )
    if [ "$dry" ]; then
        show "${command[@]}"
        return
    fi
    # Not through call: this is to be seen as it comes.
    "${command[@]}" </dev/null 2>"$scratch/err" || code=$?
    [ $code -eq 0 ] || fail_gcloud "read the logs of"
}

status() {
    look ACTIVE || fail_gcloud "look at"
    [ "$dry" ] || printf '%s: %s\n' "$name" "$state"
    [ "$state" = ACTIVE ] || return 0
    ask none state || fail_gcloud "ask the workers of"
    [ "$dry" ] || awk '{
        what = $3 == "new" ? "not set up" : $3 == "none" ? "no job yet" : $3
        if ($3 == "ended") what = "ended with " $7
        print $2 ": " what
    }' <<<"$states" | sort
}

stop() {
    look ACTIVE || fail_gcloud "look at"
    if [ "$state" != ACTIVE ]; then
        say "nothing runs: $name is $state"
        return
    fi
    ask running state || fail_gcloud "ask the workers of"
    if ! any running; then
        say "nothing runs on $name"
        return
    fi
    ask ended stop "$grace" || fail_gcloud stop
    [ "$dry" ] || say "stopped on $name"
}

usage="launch/tpu_vm.sh create | setup | run | logs | status | stop | delete --name=... --zone=..., or --help"

parse() {
    verb=${1:-}
    case $verb in
        create | setup | run | logs | status | stop | delete) shift ;;
        -h | --help | help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;;
        "") wrong "no verb: $usage" ;;
        *) wrong "no verb $verb: $usage" ;;
    esac
    while [ $# -gt 0 ]; do
        case $verb:$1 in
            run:--) shift && arguments=("$@") && break ;;
            *:--name=*) name=${1#*=} ;;
            *:--zone=*) zone=${1#*=} ;;
            *:--project=*) project=${1#*=} ;;
            create:--type=* | run:--type=*) type=${1#*=} ;;
            create:--version=* | run:--version=*) version=${1#*=} ;;
            create:--spot | run:--spot | create:--reserved | run:--reserved)
                [ -z "$tier" ] || [ "$tier" = "$1" ] || wrong "--spot and --reserved: give one of them"
                tier=$1 ;;
            setup:--dirty | run:--dirty) dirty=yes ;;
            run:--keep-alive) keep=1 ;;
            run:--env=*)
                # What was given is not repeated: it may be the value.
                [[ ${1#*=} =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] ||
                    wrong "--env takes the name of a variable, such as --env=HF_TOKEN, and no value"
                secrets+=("${1#*=}") ;;
            logs:--worker=*)
                worker=${1#*=}
                [[ $worker =~ ^([0-9]+|all)$ ]] || wrong "$1: a number or all" ;;
            *:--dry-run) dry=yes ;;
            *) wrong "$verb knows no $1: $usage" ;;
        esac
        shift
    done
}

check() {
    [ -n "$name" ] || wrong "$verb needs --name=NAME, of the slice"
    [[ $name =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ ]] ||
        wrong "--name=$name: take small letters, digits and -, beginning with a letter"
    [ -n "$zone" ] || wrong "$verb needs --zone=ZONE, such as us-east5-b"
    [ "$verb" != run ] || [ ${#arguments[@]} -gt 0 ] ||
        wrong "run needs reeval's arguments after --, as in: run --name=j --zone=z -- train ..."
    if [ "$verb" = create ] || [ "$keep" ]; then
        [ -n "$type" ] || wrong "$verb${keep:+ --keep-alive} needs --type=TYPE, such as v6e-16"
        choose_version
    elif [ -n "$type$version$tier$dirty" ] && [ "$verb" = run ]; then
        wrong "run takes --type, --version, --spot, --reserved and --dirty with --keep-alive only"
    fi
    [[ $pause =~ ^[0-9]*\.?[0-9]+$ ]] || wrong "REEVAL_PAUSE=$pause: a number of seconds"
    [[ $grace =~ ^[0-9]+$ ]] || wrong "REEVAL_GRACE=$grace: a whole number of seconds"
    [ "$dry" ] || command -v gcloud >/dev/null ||
        wrong "no gcloud on the PATH: install the Google Cloud CLI and run gcloud init"
    place=("--zone=$zone")
    [ -z "$project" ] || place+=("--project=$project")
}

main() {
    if [ "${1:-}" = worker ]; then
        cd "$HOME/reeval"
        umask 077
        "worker_$2" "${@:3}"
        exit
    fi
    name='' zone='' project='' type='' version='' tier='' dirty='' keep='' dry='' worker=0
    arguments=() secrets=() starts=0
    # Without these a worker that is gone holds ssh for a quarter of an hour.
    ssh_flags=(--ssh-flag=-oConnectTimeout=15 --ssh-flag=-oServerAliveInterval=15)
    outcome='' stopped='' state='' states=''
    pause=${REEVAL_PAUSE:-10} grace=${REEVAL_GRACE:-120}
    parse "$@"
    check
    if [ "$dry" ]; then
        scratch=${TMPDIR:-/tmp}/reeval-$name
        case $verb in setup | run) show mkdir -m 700 "$scratch" ;; esac
    else
        scratch=$(mktemp -d "${TMPDIR:-/tmp}/reeval.XXXXXX")
        trap 'rm -rf "$scratch"' EXIT
        trap 'exit 143' TERM
    fi
    "$verb"
    if [ "$dry" ]; then case $verb in setup | run) show rm -r "$scratch" ;; esac fi
}

main "$@"
