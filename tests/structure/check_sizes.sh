#!/bin/sh
# SPDX-License-Identifier: MIT
# What is too long to be read at once: a file of more than 450 lines, a function of more than 70. In the project's
# formatting a function begins in the first column and ends with a } there.
# Usage: check_sizes.sh SOURCE_ROOT, or --self-test.

FOLDERS='src tools bench demo tests examples'
FILE_MAX=450
FUNCTION_MAX=70

# Prints a line per breach. A function's lines are those from its return type to its closing brace.
sizes='
    function begin(name) {
        body = start
        gsub(/__attribute__ *\(\(.*\)\) */, "", name)
        sub(/[ \t]*\(.*/, "", name)     # "static int f(int a," is f()
        sub(/.*[ \t*]/, "", name)
        function_name = name
    }
    function end_file() {
        if (lines > file_max)
            printf "breach: %s: %d lines\n", file, lines
    }
    FNR == 1 {
        if (file != "")
            end_file()
        file = substr(FILENAME, length(root) + 2)
        body = start = macro = 0
    }
    { lines = FNR }
    # A macro, with its continued lines, is no function.
    macro || /^#/ { macro = /\\$/; next }
    body && /^}[ \t]*$/ {
        size = FNR - body + 1
        if (size > function_max)
            printf "breach: %s:%d: %s(): %d lines\n", file, body, function_name, size
        body = start = 0
        next
    }
    body { next }
    { sub(/[ \t]*(\/\*.*|\/\/.*)$/, "") }
    /^$/ { start = 0 }
    # A declaration begins: a function, if a { follows before any ; or =.
    !start && /^[A-Za-z_]/ { start = FNR; head = "" }
    start {
        head = head " " $0
        if (/^{/ || (/\{[ \t]*$/ && head ~ /\)[^=;]*\{[ \t]*$/ && head !~ /=/)) {
            if (head ~ /\(/ && head !~ /=/)
                begin(head)
            start = 0
        } else if (/[;}][ \t]*$/ || /\{[ \t]*$/)
            start = 0
    }
    END { if (file != "") end_file() }
'

check() {
    root=$1
    for folder in $FOLDERS; do
        [ -d "$root/$folder" ] && find "$root/$folder" -name '*.[ch]' -o -name '*.cc' -o -name '*.cpp'
    done | sort | xargs -r awk -v root="$root" -v file_max=$FILE_MAX -v function_max=$FUNCTION_MAX "$sizes"
}

# Each breach, planted alone, must be found; a clean tree must pass.
self_test() {
    tree=$(mktemp -d) || exit 99
    trap 'rm -rf "$tree"' EXIT
    failed=0
    blank() { yes '    x();' | head -n "$1"; }
    try() { # WANTED: the breach, empty for none; FILE; its text is the input
        rm -rf "${tree:?}"/*
        mkdir -p "$tree/$(dirname "$2")"
        cat >"$tree/$2"
        found=$(check "$tree")
        if [ "$found" != "${1:+breach: $1}" ]; then
            echo "self-test: wanted '$1' for $2, found '$found'"
            failed=1
        fi
    }
    yes '/* x */' | head -n 450 | try '' src/core/a.c
    yes '/* x */' | head -n 451 | try 'src/core/a.h: 451 lines' src/core/a.h
    yes '/* x */' | head -n 451 | try 'examples/a.cc: 451 lines' examples/a.cc
    yes '/* x */' | head -n 451 | try '' docs/a.c
    { echo 'int f(void)'; echo '{'; blank 67; echo '}'; } | try '' tests/a.c
    { echo 'int f(void)'; echo '{'; blank 68; echo '}'; } | try 'tests/a.c:1: f(): 71 lines' tests/a.c
    { echo 'int g(void);'; echo 'static char *f(int a,'; echo '      int b)'; echo '{'; blank 67; echo '}'; } |
        try 'tests/a.c:2: f(): 71 lines' tests/a.c
    { echo 'TEST(a_peer_goes)'; echo '{'; blank 68; echo '}'; } | try 'tests/a.c:1: TEST(): 71 lines' tests/a.c
    { echo 'RUN(x)'; echo; echo 'int a; /* x */'; echo 'int f(void)'; echo '{'; blank 68; echo '}'; } |
        try 'tests/a.c:4: f(): 71 lines' tests/a.c
    { echo '__attribute__((format(printf, 1, 2)))'; echo 'int f(void)'; echo '{'; blank 68; echo '}'; } |
        try 'tests/a.c:1: f(): 72 lines' tests/a.c
    { echo 'int f(void) {'; blank 69; echo '}'; } | try 'bench/a.cpp:1: f(): 71 lines' bench/a.cpp
    # Two functions of 40 lines are not one of 80; a long table, macro, struct or block of C++ is not a function.
    { echo 'int f(void)'; echo '{'; blank 37; echo '}'; echo 'int g(void)'; echo '{'; blank 37; echo '}'; } |
        try '' tools/a.c
    { echo 'static const int t[] = {'; blank 80; echo '};'; } | try '' tools/a.c
    { echo 'static const int t[F(1)] ='; echo '{'; blank 80; echo '};'; } | try '' tools/a.c
    { echo 'struct s {'; blank 80; echo '};'; } | try '' tools/a.h
    { echo '#define F(x) \'; yes 'x() \' | head -n 80; echo '}'; } | try '' tools/a.h
    { echo 'extern "C" {'; echo 'int f(void);'; blank 80; echo '}'; } | try '' tools/a.h
    exit $failed
}

[ "$1" = --self-test ] && self_test
found=$(check "${1:?usage: check_sizes.sh SOURCE_ROOT}")
[ -z "$found" ] && exit 0
echo "$found"
exit 1
