#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the examples: run.sh BUILD_DIR [NAME...]; without a name all of them. Each gets a runtime
# directory of its own, must end with 0 within TIMEOUT seconds, print what the comment at its head
# says ("..." there stands for anything), and leave nothing in the directory.
# Exit: 0 all did, 1 not all, 2 usage, 77 the named one is not built.
set -u

TIMEOUT=20
PAIRS='hello reqrep push_pull'
SINGLES='pair dealer_router xpub_xsub_proxy multipart zerocopy poll epoll libuv history_conflate
lossless events stats realtime thread_handover fork timeouts errors identities auth_sealed
hello_cxx'

sources=$(dirname "$0")
programs=${1:-}
[ -d "$programs/examples" ] && programs=$programs/examples
if [ ! -d "$programs" ]; then
    echo "usage: run.sh BUILD_DIR [NAME...]" >&2
    exit 2
fi
shift
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"; [ -n "${SHMQ_DIR:-}" ] && rm -rf "$SHMQ_DIR"' EXIT
trap 'exit 1' HUP INT TERM
unset SHMQ_DIR
failed=0

# What example $1 prints according to its head, as a shell pattern.
expected() {
    for source in "$sources/$1.c" "$sources/$1.cc"; do
        [ -f "$source" ] || continue
        sed -n '/Prints/,/\*\//{/^ \*     /{s/^ \*     //;s/ *\*\/$//;p;};}' "$source" |
            sed 's/[][*?]/[&]/g;s/\.\.\./*/g'
    done
}

complain() {
    echo "FAILED $name: $*" >&2
    failed=1 good=false
}

# start LABEL PROGRAM ARGUMENT...: run it in the background, its output in $scratch/LABEL.
start() {
    label=$1 program=$2
    shift 2
    timeout -k 1 "$TIMEOUT" "$programs/$program" "$@" >"$scratch/$label" 2>&1 &
}

# finish PROGRAM PID: wait for it, then compare its output with what its head says.
finish() {
    wait "$2" || complain "$1 ended with status $?: $(cat "$scratch/$1")"
    pattern=$(expected "$1")
    output=$(cat "$scratch/$1")
    # shellcheck disable=SC2254  # it is meant as a pattern
    case $output in
    $pattern) ;;
    *) complain "$1 printed:
$output
instead of:
$pattern" ;;
    esac
}

run_single() {
    start "$name" "$name"
    finish "$name" $!
}

# Two programs, the second of which is started first: the order must not matter.
run_two() {
    start "$2" "$2"
    second=$!
    start "$1" "$1"
    finish "$1" $!
    finish "$2" $second
}

# Two workers, one of which is killed with a job in hand: the other one does it.
run_push_pull() {
    start dying pull die
    dying=$!
    start pull pull
    pull=$!
    start push push 2
    finish push $!
    wait $dying 2>/dev/null # the shell would say "Killed"
    status=$?
    [ $status -eq 137 ] || complain "the dying worker ended with status $status, not by SIGKILL"
    wait $pull || complain "the other worker ended with status $?: $(cat "$scratch/pull")"
    done=$(cat "$scratch/dying" "$scratch/pull" | sed -n 's/^job \([0-9]\) done.*/\1/p' | sort)
    [ "$done" = "$(printf '%s\n' 0 1 2 3 4 5 6 7 8 9)" ] || complain "done: $done"
    [ "$(grep -c '(redelivered)' "$scratch/pull")" -eq 1 ] ||
        complain "redelivered: $(cat "$scratch/pull")"
}

run() {
    name=$1 good=true
    SHMQ_DIR=$(mktemp -d /dev/shm/shmq-example.XXXXXX) || exit 1
    export SHMQ_DIR
    case $name in
    hello) run_two hello_pub hello_sub ;;
    reqrep) run_two reqrep_server reqrep_client ;;
    push_pull) run_push_pull ;;
    *) run_single ;;
    esac
    rmdir "$SHMQ_DIR" 2>/dev/null || complain "left behind: $(ls "$SHMQ_DIR")"
    rm -rf "$SHMQ_DIR"
    $good && echo "ok $name"
}

asked=$#
# shellcheck disable=SC2086  # they are lists of words
[ $asked -gt 0 ] || set -- $PAIRS $SINGLES
for name; do
    case " $PAIRS " in
    *" $name "*) ;;
    *) if [ ! -x "$programs/$name" ]; then
        echo "$name is not built"
        [ $asked -eq 1 ] && exit 77
        continue
    fi ;;
    esac
    run "$name"
done
exit $failed
