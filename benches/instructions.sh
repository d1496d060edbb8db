#!/usr/bin/env bash
# Counts the instructions that hsanalyze takes per packet, and compares them with benches/instructions.txt.
#
#   benches/instructions.sh [--update]
#
# Fails where a count has risen by more than 5 % since the reference was written; --update writes it anew.
# Callgrind counts, on generated captures that are the same everywhere, on one thread. Unlike times, counts
# hardly depend on the machine: flow hashes are seeded anew in each run, which moves them by less than
# 0.1 %. They do depend on the compiler, so the reference names the one it was made with.

set -euo pipefail
# What fails in $(...) fails the script.
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC NO_COLOR=1

reference=benches/instructions.txt
# In per cent.
tolerance=5

case "${1:-}" in
    '' | --update) mode=${1:-compare} ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
type -P valgrind >/dev/null || { echo "instructions: valgrind is missing; run scripts/setup test" >&2; exit 2; }

cargo build --profile dist --locked --bin hsanalyze
# The generator need not be fast: this is the one that `make test` builds.
cargo build --profile checked --locked --features parquet --example generate
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d "${TMPDIR:-/tmp}/hsanalyze-instructions.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Prints "NAME FORMAT INSTRUCTIONS" for a capture: count NAME FORMAT GENERATOR-OPTION...
count() {
    local name=$1 format=$2 packets instructions
    shift 2
    packets=$("$target/checked/examples/generate" -o "$work/capture.pcap" "$@" | sed -n 's/^ *"packets": \([0-9]*\).*/\1/p')
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$target/dist/hsanalyze" --threads 1 --format "$format" "$work/capture.pcap" 2>"$work/stderr" >/dev/null ||
        { echo "instructions: hsanalyze failed on $name with status $?:" >&2; cat "$work/stderr" >&2; exit 1; }
    instructions=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/stderr")
    [[ -n $instructions ]] || { echo "instructions: callgrind counted nothing for $name" >&2; exit 1; }
    echo "$name $format $((instructions / packets))"
}

counts() {
    count thin text --packets 200000 --attempts 11360
    count thin ndjson --packets 200000 --attempts 11360
    count thin-ipv6 text --packets 200000 --attempts 11360 --ipv6 100
    count full text --packets 100000 --attempts 1200 --records full
    count flood text --flood 100000
}

counted=$(counts)
if [[ $mode == --update ]]; then
    {
        echo '# Instructions per packet of whole runs on one thread: benches/instructions.sh --update'
        echo "# $(rustc --version), $(uname -m)"
        echo "$counted"
    } >"$reference"
    cat "$reference"
    exit
fi
awk -v tolerance="$tolerance" '
    /^#/ { next }
    NR == FNR { was[$1 " " $2] = $3; next }
    {
        key = $1 " " $2
        if (!(key in was)) { printf "%-18s %6d, not in the reference\n", key, $3; failed = 1; next }
        change = ($3 / was[key] - 1) * 100
        bad = change > tolerance
        printf "%-18s %6d instructions a packet, %+.1f %% of %d%s\n", key, $3, change, was[key], bad ? "  TOO MANY" : ""
        failed = failed || bad
        delete was[key]
    }
    END {
        for (key in was) { printf "%-18s was not counted\n", key; failed = 1 }
        exit failed
    }' "$reference" - <<<"$counted"
