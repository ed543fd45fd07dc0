#!/bin/sh
# SPDX-License-Identifier: MIT
# A file includes its own layer or below: base -> transport -> core -> patterns -> public.
# Inside core the modules have an order, too (order.txt, beside this file). Patterns know no futex, no mapping, no file,
# and of the core what pattern.h and fast_path.h offer; the transport and the core know no pattern. Nobody but the slot
# codec touches the words of a slot. System calls are made by the seam alone: src/transport/os_*.c, the stores, src/base
# and the GPU's driver; elsewhere only headers of C itself are included.
# Usage: check_layers.sh SOURCE_ROOT, or --self-test.

order=$(dirname "$0")/order.txt

breaches=0

# complain WHAT GREP_ARGUMENTS...: every line that grep finds is a breach of WHAT
complain() {
    what=$1
    shift
    if found=$(grep -nE "$@" 2>/dev/null); then
        echo "breach: $what"
        echo "$found" | sed 's/^/    /'
        breaches=1
    fi
}

# forbid LAYER UPPER [EXCEPT]: no file of src/LAYER includes one of src/UPPER
forbid() {
    files=$(find "$root/src/$1" -name '*.[ch]' 2>/dev/null | grep -vE "${3:-^$}")
    [ -z "$files" ] || complain "src/$1 includes src/$2" \
        "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]([^\">]*/)?$2/" $files /dev/null
}

# A file of src/core includes only headers of its own module or of lower ones.
check_order() {
    found=$(for file in "$root"/src/core/*.[ch]; do
        [ -e "$file" ] || continue
        sed -n "s,^#include \"core/\\([a-z_]*\\)\\.h\"\$,${file##*/} \\1,p" "$file"
    done | awk -v order="$order" '
        BEGIN { while ((getline line < order) > 0) if (split(line, word, " ") && word[1] ~ /^core\//) rank[substr(word[1], 6)] = ++n }
        {
            module = $1
            sub(/\.[ch]$/, "", module)
            while (module != "" && !(module in rank) && module ~ /_/) sub(/_[a-z]*$/, "", module)
            lower = $2
            if (lower == "pattern" || module == "pattern")
                next
            while (!(lower in rank) && lower ~ /_/) sub(/_[a-z]*$/, "", lower)
            if (!(module in rank) || !(lower in rank) || rank[lower] > rank[module])
                print $1 " includes core/" $2 ".h"
        }')
    [ -z "$found" ] || {
        echo "breach: src/core, by order.txt"
        echo "$found" | sed 's/^/    /'
        breaches=1
    }
}

# The code of these files, FILE:LINE:CODE, without comments and strings.
code_of() {
    awk '
        FNR == 1 { inside = 0 }
        {
            line = $0
            gsub(/"([^"\\\\]|\\\\.)*"/, "\"\"", line)
            code = ""
            while (line != "") {
                if (inside) {
                    end = index(line, "*/")
                    line = end ? substr(line, end + 2) : ""
                    inside = !end
                } else {
                    start = index(line, "/*")
                    code = code (start ? substr(line, 1, start - 1) : line)
                    line = start ? substr(line, start + 2) : ""
                    inside = start > 0
                }
            }
            if (code ~ /[^ \t]/)
                print FILENAME ":" FNR ":" code
        }' "$@"
}

in_c='assert|ctype|errno|inttypes|limits|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|sys/types'
calls='open|openat|open64|creat|close|read|write|pread|pwrite|readv|writev|fsync|lseek|ftruncate|fallocate|fstat|stat|lstat|fstatat|access|link|linkat|unlink|unlinkat|rename|renameat2?|mkdir|rmdir|mkfifo(at)?|readlink|chmod|fchmod|chown|utimensat|opendir|readdir|getdents64|fcntl|flock|ioctl|dup[23]?|pipe2?|splice|vmsplice|tee|memfd_create|mmap|munmap|mremap|madvise|mprotect|mlock|mlock2|msync|poll|ppoll|select|epoll_[a-z0-9]+|eventfd|inotify_[a-z0-9_]+|timerfd_[a-z]+|signalfd|socket|socketpair|bind|connect|accept4?|listen|sendmsg|recvmsg|send|recv|getsockopt|setsockopt|syscall|futex|getrandom|getpid|gettid|getppid|getuid|geteuid|getgid|kill|fork|vfork|execve|waitpid|sched_yield|sched_[a-z]+|nanosleep|usleep|sleep|clock_[a-z]*time|time|gettimeofday|sysconf|getrlimit|setrlimit|prctl|sigaction|signal|pthread_[a-z_]+'

# Who makes no system call: all of src but the seam.
check_seam() {
    outside=$(find "$root/src" -name '*.[ch]' 2>/dev/null |
        grep -vE '/src/(base/|gpu/(driver|check_abi)|transport/(os|store)(_[a-z]+)?\.[ch]$)')
    [ -z "$outside" ] && return
    code_of $outside >"$scratch/code"
    if found=$(grep -E ':[[:space:]]*#[[:space:]]*include[[:space:]]*<' "$scratch/code" |
        grep -vE "<($in_c)\.h>" | grep -vE '/src/auth/[^:]*:[0-9]+:#include <sodium\.h>'); then
        echo 'breach: a system header outside the seam'
        echo "$found" | sed 's/^/    /'
        breaches=1
    fi
    if found=$(grep -E "^[^:]*:[0-9]+:(.*[^a-zA-Z_0-9>.])?($calls)[[:space:]]*\(" "$scratch/code" |
        grep -vE ':[[:space:]]*#[[:space:]]*define'); then
        echo 'breach: a system call outside the seam'
        echo "$found" | sed 's/^/    /'
        breaches=1
    fi
}

check() {
    root=$1
    check_order
    check_seam
    forbid base transport
    forbid base core
    forbid base patterns
    forbid base gpu
    forbid transport core
    forbid transport patterns
    forbid transport gpu
    forbid base auth
    forbid transport auth
    forbid auth transport
    forbid auth core
    forbid auth patterns
    forbid patterns auth
    forbid core patterns
    patterns=$(find "$root/src/patterns" -name '*.[ch]' 2>/dev/null)
    [ -z "$patterns" ] || {
        complain 'src/patterns includes the transport' \
            '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^">]*/)?transport/' $patterns /dev/null
        complain 'src/patterns includes of the core more than it offers to patterns' \
            '^[[:space:]]*#[[:space:]]*include[[:space:]]*"core/(pipe|membership|memory|waitable|socket_wait|api|session_state)\.h"' \
            $patterns /dev/null
        complain 'src/patterns includes a system header of the transport' \
            '#[[:space:]]*include[[:space:]]*<(sys/mman|fcntl|linux/[a-z]*|sys/syscall|unistd|sys/epoll|sys/eventfd)\.h>' \
            $patterns /dev/null
        complain 'src/patterns knows futexes, mappings or files' \
            '(^|[^a-zA-Z_])(futex[a-z_]*|mmap|munmap|mremap|fcntl|open|openat|memfd_create|ftruncate|syscall)[[:space:]]*\(' \
            $patterns /dev/null
    }
    # The words of a slot are touched by the codec alone.
    coded=$(find "$root/src" -name '*.[ch]' 2>/dev/null | grep -vE 'src/transport/slot\.h$')
    [ -z "$coded" ] || complain 'the words of a slot are touched outside transport/slot.h' \
        '(->|\]\.|\)\.)[[:space:]]*(seq|meta|payload)([^a-zA-Z0-9_]|$)' $coded /dev/null
}

# Each breach, planted alone, must be found; a clean tree must pass.
self_test() {
    tree=$scratch/tree
    failed=0
    try() { # WANTED FILE LINE
        rm -rf "$tree/src"
        mkdir -p "$tree/src/base" "$tree/src/transport" "$tree/src/core" "$tree/src/patterns" "$tree/src/auth"
        mkdir -p "$(dirname "$tree/src/$2")"
        printf '%s\n' "$3" >"$tree/src/$2"
        breaches=0
        check "$tree" >/dev/null
        if [ $breaches -ne "$1" ]; then
            echo "self-test: wanted $1 for $2: $3"
            failed=1
        fi
    }
    try 1 base/a.h '#include "transport/ring.h"'
    try 1 transport/ring.c '#include "core/socket.h"'
    try 1 transport/ring.c '#include "patterns/pub.h"'
    try 1 transport/ring.c '# include "../patterns/pub.h"'
    try 1 core/socket.c '#include "patterns/pub.h"'
    try 1 auth/seal.c '#include "core/socket.h"'
    try 0 core/session.c '#include "auth/auth.h"'
    try 1 core/tx.c '#include "core/pipe.h"'
    try 0 core/pipe_meet.c '#include "core/tx.h"'
    try 1 patterns/pub.c '#include "core/pipe.h"'
    try 1 core/waitable.c 'syscall(SYS_futex_waitv, 1);'
    try 1 core/waitable.c 'p = mmap(NULL, 1, 2, 3, 4, 5);'
    try 1 patterns/pub.c '#include "transport/ring.h"'
    try 1 patterns/pub.c '#include <sys/mman.h>'
    try 1 patterns/pub.c '    futex_wait(word, 1);'
    try 1 patterns/pub.c '    p = mmap(NULL, 1, 2, 3, 4, 5);'
    try 1 patterns/pub.c '    fcntl(fd, 1);'
    try 1 core/fast_path.h '    store_relaxed(&slot->meta, 1);'
    try 1 patterns/req.c '    copy(buffer, ring->slots[i & ring->mask].payload, 8);'
    try 1 transport/ring_in.c '    if (peer_u64(&slot->seq) != ready)'
    try 0 transport/slot.h '    if (peer_u64(&slot->seq) != ready)'
    try 0 core/tx.c '    s->tx.message.payload += part->size; slot->sequence = 1;'
    try 0 patterns/pub.c '#include "core/pattern.h"'
    try 0 patterns/pub.c '    reopen(x); is_open(x);'
    try 0 transport/ring.c '#include "base/atomic.h"'
    try 1 core/waitable.c '#include <poll.h>'
    try 1 core/waitable.c '    if (s->fd >= 0 && read(s->fd, bytes, 8) > 0)'
    try 1 core/api_handover.c 'n = sendmsg(fd, &message, 0);'
    try 1 transport/segment.c '#include <unistd.h>'
    try 1 transport/bell.c 'close(fd);'
    try 1 auth/seal.c 'mlock(key, 32);'
    try 0 auth/seal.c '#include <sodium.h>'
    try 1 core/session.c '#include <sodium.h>'
    try 0 transport/os_event.c '#include <poll.h>'
    try 0 transport/store_memfd.c 'fd = memfd_create("", 0);'
    try 0 base/clock.c 'clock_gettime(1, &now);'
    try 0 core/socket.c 's->kind->close(s); os_close(fd); session_close(s); static void close_inherited(int a);'
    try 0 core/socket.c '/* munmap() drops it, as close() does'"
"' * and fork() too */ #include <errno.h>'
    exit $failed
}

scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
[ "$1" = --self-test ] && self_test
check "${1:?usage: check_layers.sh SOURCE_ROOT}"
exit $breaches
