#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Check the manual pages: check.sh INCLUDE_DIR [CC]. No warnings of groff and of mandoc (each if it
# is installed), every public function of the header has a page, every example compiles.
# Exit: 0 all is well, 1 not.
set -u

include=$1
cc=${2:-cc}
pages=$(dirname "$0")
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

complain() {
    echo "$*" >&2
    failed=1
}

# The examples of page $1, one file each: what lies between .Bd and .Ed below EXAMPLES.
extract() {
    awk -v base="$scratch/$(basename "$1")" '
        /^\.Sh/ { examples = $2 == "EXAMPLES" }
        /^\.Ed/ { inside = 0 }
        inside { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); gsub(/\\&/, ""); print > file }
        /^\.Bd/ && examples { inside = 1; file = base "." ++count ".c" }' "$1"
}

for page in "$pages"/*.[137]; do
    if command -v groff >/dev/null; then
        warnings=$(groff -ww -mdoc -Tutf8 "$page" 2>&1 >/dev/null)
        [ -z "$warnings" ] || complain "$page: groff: $warnings"
    fi
    if command -v mandoc >/dev/null; then
        warnings=$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v mandoc.db)
        [ -z "$warnings" ] || complain "$page: mandoc: $warnings"
    fi
    extract "$page"
done

for example in "$scratch"/*.c; do
    $cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I"$include" "$example" ||
        complain "the example $(basename "$example") does not compile"
done

for name in $(sed -n 's/^SHM_API .*[ *]\(shm_[a-z_]*\)(.*/\1/p' "$include/shmq.h"); do
    grep -q "^\.Nm $name\( ,\)*$" "$pages"/*.3 || complain "$name has no page"
done
for name in $(sed -n 's/^ *\(SHM_[A-Z_]*\) = [0-9]*,.*/\1/p' "$include/shmq.h"); do
    cat "$pages"/*.3 | grep -q "Dv.* $name\>" || complain "$name is in no page"
done
exit $failed
