#!/bin/sh
# SPDX-License-Identifier: MIT
# Run a command with a fresh SHMQ_DIR, which must be empty afterwards; it has 20 s to end.
dir=$(mktemp -d /dev/shm/shmq-test-XXXXXX) || exit 99
trap 'rm -rf "$dir"' EXIT INT TERM
SHMQ_DIR=$dir timeout -k 1 20 "$@" || exit $?
left=$(ls -A "$dir")
if [ -n "$left" ]; then
    echo "left in the runtime directory:" $left >&2
    exit 1
fi
