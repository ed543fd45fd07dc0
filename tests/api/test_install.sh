#!/bin/sh
# SPDX-License-Identifier: MIT
# Install into a DESTDIR, then build and run a C and a C++ program from another directory with what
# pkg-config says, against the shared and against the static library.
# Usage: test_install.sh MESON BUILD_DIR [CC [CXX]]
set -eu
meson=$1
build=$2
cc=${3:-cc}
cxx=${4:-}

work=$(mktemp -d)
runtime=$(mktemp -d /dev/shm/shmq-test-XXXXXX)
trap 'rm -rf "$work" "$runtime"' EXIT INT TERM

$meson install -C "$build" --destdir "$work/dest" --no-rebuild >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
pc=$(find "$work/dest" -name shmq.pc)
[ -n "$pc" ] || { echo "no shmq.pc was installed"; exit 1; }
header=$(find "$work/dest" -path '*/include/shmq.h')
[ -n "$header" ] || { echo "no include/shmq.h was installed"; exit 1; }
[ -n "$(find "$work/dest" -name 'libshmq.so')" ] || { echo "no libshmq.so"; exit 1; }
[ -n "$(find "$work/dest" -name 'libshmq.a')" ] || { echo "no libshmq.a"; exit 1; }

PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$work/dest
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
LD_LIBRARY_PATH=$(dirname "$(find "$work/dest" -name 'libshmq.so')")
export LD_LIBRARY_PATH
SHMQ_DIR=$runtime
export SHMQ_DIR

mkdir "$work/elsewhere"
cd "$work/elsewhere"
cat >hello.c <<'END'
#include <shmq.h>
#include <string.h>
int main(void)
{
    shm_socket_t *push = shm_socket(SHM_PUSH), *pull = shm_socket(SHM_PULL);
    char got[8] = "";
    if (!push || !pull || shm_bind(pull, "shm://hello") || shm_connect(push, "hello"))
        return 1;
    if (shm_send(push, "hello", 6, 0) != 6 || shm_recv(pull, got, sizeof got, 0) != 6)
        return 2;
    shm_close(push);
    shm_close(pull);
    return strcmp(got, "hello") ? 3 : 0;
}
END
cp hello.c hello.cpp

run() {
    echo "$*"
    rm -f hello
    "$@"
    ./hello
    [ -z "$(ls -A "$runtime")" ] || { echo "files were left in the runtime directory"; exit 1; }
}

# shellcheck disable=SC2046 # the words of pkg-config are words
run $cc -std=c11 -Wall -Wextra -Werror -pedantic hello.c -o hello $(pkg-config --cflags --libs shmq)
[ -z "$cxx" ] || run $cxx -std=c++17 -Wall -Wextra -Werror hello.cpp -o hello $(pkg-config --cflags --libs shmq)
run $cc -std=c11 hello.c -o hello $(pkg-config --cflags shmq) "$(find "$work/dest" -name libshmq.a)" \
    $(pkg-config --static --libs-only-other --libs-only-l shmq | sed 's/-lshmq//')

[ "$(pkg-config --modversion shmq)" = "0.1.0" ] || { echo "shmq.pc has another version"; exit 1; }
# Only public names are exported.
foreign=$(nm -D --defined-only "$LD_LIBRARY_PATH/libshmq.so" | awk '{print $3}' | grep -vE '^(shm_[a-z_]+(@.*)?|SHMQ_[0-9.]+|_init|_fini)$' || true)
[ -z "$foreign" ] || { echo "exported, but not public:" $foreign; exit 1; }
