#!/bin/sh
# SPDX-License-Identifier: MIT
# The library built for AArch64 and run under qemu-user: layouts, alignment, system calls, each pattern.
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
# shellcheck disable=SC2046
"$CC" -std=gnu11 -O2 -Wall -Wextra -Wconversion -Werror -Wno-unused-parameter -D_GNU_SOURCE -DSHMQ_BUILDING \
    -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc -static -o "$out/round_trip" tests/arm64/round_trip.c \
    $(find src/base src/transport src/core src/patterns -name '*.c') -pthread
SHMQ_DIR=$directory timeout 300 "$RUN" "$out/round_trip"
left=$(find "$directory" -type f | wc -l)
echo "files left: $left"
[ "$left" = 0 ]
