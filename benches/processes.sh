#!/bin/sh
# Not run by itself: the processes of a benchmark, for those that source it. `$pids` are ended, and `$work` is removed, when
# the benchmark ends.

work=$(mktemp -d)
pids=
finish() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# CPU time of a process in seconds.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f", ($14 + $15) / hz }' "/proc/$1/stat"; }
