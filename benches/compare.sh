#!/usr/bin/env bash
# hsanalyze beside tcpdump, tshark, tcptrace and argus on the same captures, and beside walking their records alone.
#
#   benches/compare.sh [-r ROUNDS] [-s SCALE] [-o FILE]
#
# Prints markdown tables: medians over ROUNDS alternating rounds (default 5) of whole processes, page cache
# warm. SCALE (default 100) is the size in percent: 100 means 8.8 million thin packets, 0.85 million full
# ones, and 40 million to see whether time per packet grows. The slowest rivals are compared on a capture of a
# million thin packets, where starting up tells. The captures live in $TMPDIR, at most 3.5 GB at a time.

set -euo pipefail
export LC_ALL=C

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

rounds=5
scale=100
while getopts r:s:o: option; do
    case $option in
        r) rounds=$OPTARG ;;
        s) scale=$OPTARG ;;
        o) exec >"$OPTARG" ;;
        *) usage ;;
    esac
done
((OPTIND > $#)) || usage
for number in "$rounds" "$scale"; do
    [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || { echo "compare: '$number' is not a number from 1 to 9999" >&2; exit 2; }
done

cd "$(dirname "$0")/.."

# GNU time, which alone tells the resident set; Homebrew's name for it is gtime.
time_program=$(type -P gtime || type -P time) || { echo "compare: GNU time is missing; run scripts/setup bench" >&2; exit 2; }

say() { printf 'compare: %s\n' "$*" >&2; }

cargo build --profile dist --locked --bin hsanalyze --example generate --example walk
target=${CARGO_TARGET_DIR:-target}/dist
work=$(mktemp -d "${TMPDIR:-/tmp}/hsanalyze-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

needed_kb=$((35000 * (scale > 5 ? scale : 5)))
free_kb=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
if ((free_kb < needed_kb)); then
    say "$work has $((free_kb / 1024)) MiB free and $((needed_kb / 1024)) are needed; set TMPDIR, or a smaller -s"
    exit 2
fi

# Sets `command` to what a contestant runs on a capture. Reports go where they cost nothing.
command_of() {
    case $1 in
        hsanalyze) command=("$target/hsanalyze" "$2") ;;
        walk) command=("$target/examples/walk" "$2") ;;
        pcap_parser) command=("$target/examples/walk" --pcap-parser "$2") ;;
        hsanalyze_1thread) command=("$target/hsanalyze" --threads 1 "$2") ;;
        tcpdump_filter) command=(tcpdump -nr "$2" -w /dev/null 'tcp[tcpflags] & (tcp-syn|tcp-rst) != 0') ;;
        tshark_conv) command=(tshark -nr "$2" -q -z conv,tcp) ;;
        tshark_completeness) command=(tshark -nr "$2" -T fields -e tcp.stream -e tcp.completeness) ;;
        tcptrace) command=(tcptrace -n "$2") ;;
        argus) command=(argus -r "$2" -w /dev/null) ;;
    esac
}

# Adds "wall cpu rss-KiB" of one run to the contestant's list.
measure() {
    local contestant=$1 capture=$2 status=0 command
    command_of "$contestant" "$capture"
    # Some systems take cached pages away as they please.
    cat "$capture" >/dev/null
    # Hundredths of a second, as `time` has them, are too few for the short runs.
    local begun=${EPOCHREALTIME-} wall
    "$time_program" -q -f '%e %U %S %M' -o "$work/time" "${command[@]}" \
        >/dev/null 2>"$work/stderr" || status=$?
    wall=${begun:+$((${EPOCHREALTIME/[.,]/} - ${begun/[.,]/}))}
    if ((status)); then
        say "$contestant failed with status $status on $(basename "$capture"): $(tail -n 1 "$work/stderr")"
        touch "$work/$contestant.failed"
        return
    fi
    tail -n 1 "$work/time" | awk -v wall="$wall" '{ if (wall) $1 = wall / 1e6; print $1, $2 + $3, $4 }' >>"$work/$contestant.runs"
}

# The median of a column of a contestant's runs.
median() {
    awk -v c="$2" '{ print $c }' "$work/$1.runs" | sort -n |
        awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# A table of the contestants on one capture: compare TITLE CAPTURE PACKETS CONTESTANT...; ratios are to the
# first contestant.
compare() {
    local title=$1 capture=$2 packets=$3 contestant round base
    shift 3
    rm -f "$work"/*.runs "$work"/*.failed
    for ((round = 1; round <= rounds; round++)); do
        say "$title: round $round of $rounds"
        for contestant; do
            [[ -e $work/$contestant.failed ]] || measure "$contestant" "$capture"
        done
    done
    printf '\n**%s**: %s packets, %s MB\n\n' "$title" "$packets" "$(($(wc -c <"$capture") / 1000000))"
    echo '| | wall s | CPU s (user + system) | max RSS MiB | wall ns a packet | times as long |'
    echo '|---|--:|--:|--:|--:|--:|'
    [[ ! -e $work/$1.failed ]] || { say "$1 failed; no ratios"; exit 1; }
    base=$(median "$1" 1)
    for contestant; do
        [[ ! -e $work/$contestant.failed ]] || continue
        awk -v name="$contestant" -v wall="$(median "$contestant" 1)" -v cpu="$(median "$contestant" 2)" \
            -v rss="$(median "$contestant" 3)" \
            -v packets="$packets" -v base="$base" 'BEGIN {
                printf "| %s | %.3f | %.2f | %.1f | %.0f | %s |\n", name, wall, cpu, rss / 1024,
                    wall / packets * 1e9, sprintf("%.2f", wall / base) }'
    done
}

# Makes a capture and sets `packets` to how many it holds.
generate() {
    say "writing $1"
    packets=$("$target/examples/generate" -o "$work/$1" "${@:2}" | sed -n 's/^ *"packets": \([0-9]*\).*/\1/p')
}

# Those of the contestants that are installed.
present() {
    local contestant
    for contestant; do
        local program=${contestant%%_*}
        if type -P "$program" >/dev/null; then echo "$contestant"; else say "$program is not installed; left out"; fi
    done
}
PATH=$PATH:/usr/sbin:/sbin
mapfile -t quick < <(present tcpdump_filter)
mapfile -t steady < <(present tcptrace argus)
mapfile -t slow < <(present tshark_conv tshark_completeness)
threads=()
if "$target/hsanalyze" --help 2>/dev/null | grep -q -- '--threads'; then threads=(hsanalyze_1thread); fi

tables() {
    printf '%s, %s cores, %s %s; %s; medians of %s alternating rounds, page cache warm, whole processes.\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 | grep . || uname -m)" \
        "$(getconf _NPROCESSORS_ONLN)" "$(uname -s)" "$(uname -r)" "$("$target/hsanalyze" --version)" "$rounds"
    local attempts
    attempts=$((5000 * scale))
    generate thin.pcap --packets $((88000 * scale)) --attempts "$attempts" --records thin
    compare "Thin records, $attempts attempts" "$work/thin.pcap" "$packets" hsanalyze "${threads[@]}" walk pcap_parser \
        "${quick[@]}" "${steady[@]}"
    rm "$work/thin.pcap"
    attempts=$((100 * scale))
    generate full.pcap --packets $((8500 * scale)) --attempts "$attempts" --records full
    compare "Full-size records, $attempts attempts" "$work/full.pcap" "$packets" hsanalyze "${threads[@]}" walk pcap_parser \
        "${quick[@]}"
    rm "$work/full.pcap"
    # Short enough for tshark.
    generate small.pcap --packets $((scale > 10 ? 1000000 : 200000)) --attempts $((scale > 10 ? 56000 : 11200))
    compare "Thin records, slow rivals too" "$work/small.pcap" "$packets" hsanalyze "${quick[@]}" "${steady[@]}" \
        "${slow[@]}"
    rm "$work/small.pcap"
    generate long.pcap --packets $((400000 * scale)) --attempts $((22400 * scale))
    compare "Thin records, long: time per packet must not grow" "$work/long.pcap" "$packets" hsanalyze "${threads[@]}"
    cat <<'TEXT'

What each leaves out:

- `walk` reads the records with hsanalyze's readers, `pcap_parser` with the reader of that library; both look into none:
  the limits for what reads in these ways.
- `tcpdump` with a filter for SYN and RST only selects packets: no attempts, no retries, no verdicts. It is
  the floor for any program that reads through libpcap.
- `tshark -z conv,tcp` counts packets and bytes per connection: no verdicts, no retries of the handshake.
- `tshark` with `tcp.completeness` says per packet which of SYN, SYN-ACK, ACK, data, FIN and RST its connection
  has had: not whether SYN-ACK was repeated after the ACK, nor who reset, nor why.
- `tcptrace` counts SYN and RST per direction and whether a connection was complete: no overflow, no listener.
- `argus` writes flow records with states and retransmission counts: no order of handshake packets, no cause.
TEXT
}

tables
