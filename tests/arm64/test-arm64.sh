#!/bin/sh
# SPDX-License-Identifier: MIT
# The library built for AArch64 and run under qemu-user: layouts, alignment, system calls, each pattern.
# Twice: as it is, on the newest processor that the emulator has, and with each access that is not aligned as
# its type asks made a trap, on the oldest (no single-instruction atomics, none that may be unaligned).
# An emulator on x86 says nothing about memory ordering.
set -eu
cd "$(dirname "$0")/../.."
CC=${CC_ARM64:-aarch64-linux-gnu-gcc}
RUN=${RUN_ARM64:-qemu-aarch64}
for tool in "$CC" "$RUN"; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not here"; exit 77; }
done
out=$(mktemp -d)
directory=$(mktemp -d /dev/shm/shmq-arm64-XXXXXX)
trap 'rm -rf "$out" "$directory"' EXIT
build_and_run() {
    cpu=$1
    shift
    # shellcheck disable=SC2046
    "$CC" -std=gnu11 -O2 -Wall -Wextra -Wconversion -Werror -Wno-unused-parameter -D_GNU_SOURCE -DSHMQ_BUILDING \
        -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc -static "$@" -o "$out/round_trip" tests/arm64/round_trip.c \
        $(find src/base src/transport src/core src/patterns -name '*.c') src/auth/auth_none.c -pthread
    echo "on $cpu, with: ${*:-the usual options}"
    SHMQ_DIR=$directory timeout 300 "$RUN" -cpu "$cpu" "$out/round_trip"
}

build_and_run max
build_and_run cortex-a53 -mno-outline-atomics -fsanitize=alignment -fsanitize-undefined-trap-on-error
left=$(find "$directory" -type f | wc -l)
echo "files left: $left"
[ "$left" = 0 ]
