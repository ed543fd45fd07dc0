#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the fuzz targets one after the other and says what they did. From `./dev fuzz`:
#     fuzz.sh BUILD-DIRECTORY CORPUS-DIRECTORY SECONDS-EACH [TARGET...]
# What is found anew is kept beside the build, in fuzz/corpus; findings lie in fuzz/findings.
set -u
build=$1 corpus=$2 seconds=$3
shift 3
bin=$build/tests/fuzz
[ $# -gt 0 ] || set -- $(cd "$bin" && ls | sed -n 's/^fuzz_\([a-z]*\)$/\1/p')
work=$build/fuzz
mkdir -p "$work/findings"
status=0 all=0 bad=0

printf '%-10s %14s %10s %8s %8s %8s\n' TARGET EXECUTIONS EXEC/S EDGES CORPUS FINDINGS
for target in "$@"; do
    mkdir -p "$work/corpus/$target" "$work/dir"
    chmod 700 "$work/dir"
    log=$work/$target.log
    kept=
    [ ! -d "$corpus/$target" ] || kept=$corpus/$target
    SHMQ_DIR=${SHMQ_DIR:-$work/dir} "$bin/fuzz_$target" -max_total_time="$seconds" -max_len=1024 -timeout=60 \
        -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$work/findings/$target-" \
        "$work/corpus/$target" $kept >"$log" 2>&1
    failed=$?
    ran=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    last=$(grep -a 'cov: ' "$log" | tail -n 1)
    edges=$(echo "$last" | sed -n 's/.* cov: \([0-9]*\).*/\1/p')
    found=$(echo "$last" | sed -n 's/.* corp: \([0-9]*\).*/\1/p')
    findings=0
    [ $failed -eq 0 ] || findings=1
    printf '%-10s %14s %10s %8s %8s %8s\n' "$target" "${ran:-?}" "${rate:-?}" "${edges:-?}" "${found:-?}" $findings
    if [ $failed -ne 0 ]; then
        status=1
        bad=$((bad + 1))
        grep -aE 'finding|ERROR|SUMMARY|runtime error|Test unit written' "$log" | sed 's/^/    /'
    fi
    all=$((all + ${ran:-0}))
done
printf '%-10s %14s %37s\n' total $all $bad
exit $status
