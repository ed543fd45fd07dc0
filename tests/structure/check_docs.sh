#!/bin/sh
# SPDX-License-Identifier: MIT
# The documents say what the tree says: README.md quotes the examples verbatim; the tables of
# docs/LAYOUT.md are the structures and constants of the headers (compiled as static asserts, each
# table without a gap); docs/MEMORY_MODEL.md names exactly the edges that src/ names; docs/MODELS.md says
# of exactly the memory orders of src/ what a weaker one does, and how many executions exactly the variants
# of models/ have; links lead somewhere. Usage: check_docs.sh SOURCE_ROOT, or --self-test [SOURCE_ROOT]. CC: the compiler.

wrong=0
complain() {
    echo "docs: $*"
    wrong=1
}

# What README.md has between the fences after the marker of example $1.
quoted() {
    awk -v marker="<!-- example: $1 -->" '
        index($0, marker) { found = 1; next }
        found && /^```/   { if (inside) exit; inside = 1; next }
        inside            { print }' "$root/README.md"
}

check_examples() {
    for example in examples/hello_pub.c examples/hello_sub.c; do
        grep -qF "<!-- example: $example -->" "$root/README.md" ||
            complain "README.md does not quote $example"
    done
    for example in $(sed -n 's/^<!-- example: \([^ ]*\) -->$/\1/p' "$root/README.md"); do
        quoted "$example" >"$scratch/quoted"
        cmp -s "$scratch/quoted" "$root/$example" ||
            complain "README.md's $example is not the file"
    done
}

# Tables become a C file. A structure's rows must follow each other without a gap up to "(end)".
asserts() {
    echo '#include <stddef.h>'
    echo '#include <stdint.h>'
    sed -n 's/^<!-- \(struct: [^ ]*\|constants:\) \([^ ]*\) -->$/#include "\2"/p' "$1" | sort -u
    awk '
        function cell(n) { gsub(/^[ \t]+|[ \t]+$/, "", part[n]); return part[n] }
        function check(what) { printf "_Static_assert(%s, \"line %d\");\n", what, NR }
        function finish() { if (struct != "") printf "#error no (end) for struct %s\n", struct; struct = "" }
        /^<!-- struct: /    { finish(); struct = $3; at = 0; constants = 0; next }
        /^<!-- constants: / { finish(); constants = 1; rows = 0; next }
        /^[#<]/             { finish(); constants = 0 }
        !/^\|/              { if (constants && rows) constants = 0; next }
        /^\|[-:| ]+$/       { next }
        struct == "" && !constants { next }
        { split($0, part, "|"); first = cell(2); second = cell(3); third = cell(4) }
        first == "offset" || first == "constant" { next }
        constants { rows++; check("(uint64_t)(" first ") == UINT64_C(" second ")"); next }
        first != at "" { printf "#error line %d: struct %s goes on at %d\n", NR, struct, at }
        third == "(end)" { check("sizeof(struct " struct ") == " first); struct = ""; next }
        {
            check("offsetof(struct " struct ", " third ") == " first)
            check("sizeof(((struct " struct " *)0)->" third ") == " second)
            at = first + second
        }
        END { finish() }' "$1"
}

check_layout() {
    asserts "$root/docs/LAYOUT.md" >"$scratch/layout.c"
    [ "$(grep -c offsetof "$scratch/layout.c")" -ge 60 ] || complain "docs/LAYOUT.md has lost its tables"
    # Each structure of the layout headers has its table.
    for struct in $(sed -n 's/^struct \([a-z_]*\) {$/\1/p' "$root"/src/transport/*_layout.h); do
        grep -q "^<!-- struct: $struct " "$root/docs/LAYOUT.md" || complain "docs/LAYOUT.md lacks struct $struct"
    done
    ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I "$root/src" -I "$root/include" -fsyntax-only \
        "$scratch/layout.c" >"$scratch/errors" 2>&1 || {
        complain "docs/LAYOUT.md differs from the headers (lines are those of docs/LAYOUT.md):"
        grep -E 'error' "$scratch/errors" | sed 's/^.*error: /    /'
    }
}

# Edge tags: a letter of R C P S and a number; not the names of the C standards.
tags() {
    cat "$@" | grep -oE '(^|[^A-Za-z0-9_])[RCPS][0-9]{1,2}([^A-Za-z0-9_]|$)' |
        grep -oE '[RCPS][0-9]{1,2}' | grep -vxE 'C(89|90|99|11|17|18|23)' | sort -u
}

check_edges() {
    # "C1..C4" and "R5 and R1" are fine: each pass over a line finds every other tag.
    find "$root/src/base" "$root/src/transport" "$root/src/core" "$root/src/patterns" -name '*.[ch]' \
        -exec cat {} + | sed 's/[^A-Za-z0-9_]/\n/g' >"$scratch/source"
    sed 's/[^A-Za-z0-9_]/\n/g' "$root/docs/MEMORY_MODEL.md" >"$scratch/document"
    tags "$scratch/source" >"$scratch/in_source"
    tags "$scratch/document" >"$scratch/in_document"
    [ -s "$scratch/in_source" ] || complain "src/ names no edges"
    for tag in $(comm -23 "$scratch/in_source" "$scratch/in_document"); do
        complain "docs/MEMORY_MODEL.md lacks edge $tag"
    done
    for tag in $(comm -13 "$scratch/in_source" "$scratch/in_document"); do
        complain "docs/MEMORY_MODEL.md names edge $tag, which src/ does not"
    done
}

# Each order has a row that says which model turns red without it.
check_orders() {
    page=$root/docs/MODELS.md
    "$root/models/orders" "$root" | awk '{ sub(/^memory_order_/, "", $4); print $1, $3, $4, $5 }' >"$scratch/source"
    awk -F ' *[|] *' '
        /^<!-- orders -->/ { inside = 1 }
        /^#/               { inside = 0 }
        inside && /^\| [a-z]*\/.* `/ {
            split($2, where, " ")
            gsub(/`/, "", where[2])
            n = split($3, operation, " ")
            print where[1], where[2], operation[1], (n > 1 ? operation[2] : 1)
        }' "$page" >"$scratch/rows"
    sort -u "$scratch/source" >"$scratch/in_source"
    awk '{ print $1, $2, $3, $4 }' "$scratch/rows" | sort -u >"$scratch/in_document"
    [ -s "$scratch/in_source" ] || complain "models/orders finds no order in src/"
    comm -23 "$scratch/in_source" "$scratch/in_document" | sed 's/^/docs\/MODELS.md has no row for: /' >"$scratch/lacks"
    comm -13 "$scratch/in_source" "$scratch/in_document" | sed 's/^/docs\/MODELS.md has a row for what src\/ has not: /' >>"$scratch/lacks"
    grep -E ' (atomic_|__sync)' "$scratch/in_source" | sed 's/^/no order is spelled out: /' >>"$scratch/lacks"
    while read -r line; do
        complain "$line"
    done <"$scratch/lacks"
}

# Each variant of a model has a row that says how many executions it has; under IMM perhaps "not run". (models/run
# compares the numbers of RC11, where the checker is to be had.)
check_variants() {
    page=$root/docs/MODELS.md
    for model in "$root"/models/*.c; do
        name=$(basename "$model" .c)
        sed -n "s/^ \* \(run\|rc11\): \(.*\)/$name \2/p" "$model"
    done | sed 's/  .*//' | sort >"$scratch/in_source"
    awk -F ' *[|] *' '/^\| [a-z]+ \| `-D/ && $4 ~ /^[0-9]+$/ && $5 ~ /^([0-9]+|not run)$/ {
        gsub(/`/, "", $3)
        print $2, $3
    }' "$page" | sort >"$scratch/in_document"
    [ -s "$scratch/in_source" ] || complain "models/ lists no variants"
    comm -23 "$scratch/in_source" "$scratch/in_document" | sed 's/^/docs\/MODELS.md has no executions of: /' >"$scratch/lacks"
    comm -13 "$scratch/in_source" "$scratch/in_document" | sed 's/^/docs\/MODELS.md has executions of what models\/ has not: /' >>"$scratch/lacks"
    while read -r line; do
        complain "$line"
    done <"$scratch/lacks"
}

check_pipes() {
    for page in README.md CONTRIBUTING.md docs/ARCHITECTURE.md docs/LAYOUT.md docs/MEMORY_MODEL.md docs/FAILURE.md docs/MODELS.md docs/SECURITY.md; do
        for target in $(grep -oE '\]\([^)#]+' "$root/$page" | sed 's/^](//' | grep -v '^https*:'); do
            [ -e "$root/$(dirname "$page")/$target" ] || complain "$page links to $target, which is not there"
        done
    done
}

check() {
    root=$1
    check_examples
    check_layout
    check_edges
    check_orders
    check_variants
    check_pipes
}

# Each mistake, planted alone in a copy, must be found; the copy itself must pass.
self_test() {
    tree=$scratch/tree
    failed=0
    try() { # WANTED FILE SED-SCRIPT
        rm -rf "$tree"
        mkdir "$tree"
        (cd "$1" && cp -r README.md CONTRIBUTING.md LICENSE docs examples src include man models "$tree")
        [ -z "$3" ] || {
            sed -i "$4" "$tree/$3"
            cmp -s "$tree/$3" "$1/$3" && echo "self-test: nothing planted by $4" && failed=1
        }
        wrong=0
        check "$tree" >"$scratch/said"
        if [ $wrong -ne "$2" ]; then
            echo "self-test: wanted $2 for $3: $4"
            cat "$scratch/said"
            failed=1
        fi
    }
    try "$1" 0 '' ''
    try "$1" 1 README.md 's/shm_send(pub/shm_send(pup/'
    try "$1" 1 README.md '/example: examples.hello_sub/d'
    try "$1" 1 examples/hello_sub.c 's/%.2f/%.3f/'
    try "$1" 1 docs/LAYOUT.md 's/^| 48 | 8 | ring_offset/| 40 | 8 | ring_offset/'
    try "$1" 1 docs/LAYOUT.md '/^| 72 | 8 | oldest/d'
    try "$1" 1 docs/LAYOUT.md 's/^| 136 | 8 | lost/| 136 | 8 | lots/'
    try "$1" 1 docs/LAYOUT.md 's/^| SLOT_PAYLOAD | 112/| SLOT_PAYLOAD | 120/'
    try "$1" 1 docs/LAYOUT.md '/struct: pipe_record/d'
    try "$1" 1 src/transport/ring_layout.h 's/RING_HEADER    128/RING_HEADER    192/'
    try "$1" 1 docs/MEMORY_MODEL.md 's/R7/R17/g'
    try "$1" 1 src/transport/bell.h 's/P3/PX/g'
    try "$1" 1 src/transport/bell.h 's/peer_u32_seq_cst/peer_u32_acquire/'
    try "$1" 1 src/core/pipe.c 's/store_release(&pipe->record->connected_to, 0)/store_relaxed(\&pipe->record->connected_to, 0)/'
    try "$1" 1 src/core/api.c 's/atomic_store_explicit(&s->terminated, 1, memory_order_relaxed)/atomic_store(\&s->terminated, 1)/'
    try "$1" 1 docs/MODELS.md '/`peer_notify_bell` | store_seq_cst/d'
    try "$1" 1 docs/MODELS.md '/^| spsc | `-DMESSAGES=3` /d'
    try "$1" 1 docs/MODELS.md 's/^\(| spmc | `-DMESSAGES=2` | \)[0-9]*/\1-/'
    try "$1" 1 models/record.c '/^ . run: -DCASE=11 /d'
    try "$1" 1 src/core/peer.c 's/= peer_u64_acquire(&record->tail)/= peer_u64(\&record->tail)/'
    try "$1" 1 docs/FAILURE.md '$a [nowhere](nowhere.md)'
    return $failed
}

scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
if [ "$1" = --self-test ]; then
    self_test "${2:-$(dirname "$0")/../..}"
    exit
fi
check "${1:?usage: check_docs.sh SOURCE_ROOT}"
exit $wrong
