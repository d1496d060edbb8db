#!/bin/sh
# Captures a steady stream of handshakes for a long time, beside tcpdump -w: drops of both, memory over time, CPU.
#
#   benches/soak.sh [SECONDS [PACKETS_PER_SECOND]]     (as root; default 600 s at 50,000 packets/s)
#
# At a rate that no machine sends, such as 1000000, it shows what either loses when packets come as fast as they can.
# BUFFER is the size of both rings in KiB; 0, the default, leaves each program its own.
#
# Everything happens in a network namespace of its own. Needs iproute2, tcpdump and jq. HSANALYZE and SEND name
# programs that are built already.
set -eu

seconds=${1:-600}
rate=${2:-50000}
buffer=${BUFFER:-0}
[ "$buffer" = 0 ] && ring= || ring="-B $buffer"

if [ "${SOAK_INSIDE:-}" != yes ]; then
    cd "$(dirname "$0")/.."
    if [ -z "${HSANALYZE:-}" ] || [ -z "${SEND:-}" ]; then
        cargo build --profile dist --locked --bin hsanalyze --example send
    fi
    SOAK_INSIDE=yes exec unshare --net "$0" "$seconds" "$rate"
fi

hsanalyze=${HSANALYZE:-target/dist/hsanalyze}
send=${SEND:-target/dist/examples/send}
. benches/processes.sh

ip link add near type veth peer name far
for end in near far; do
    echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6
    ip link set $end up
done

# shellcheck disable=SC2086 # an option and its value, or nothing
"$hsanalyze" -i near -q $ring --format json --verdict undetermined -o "$work/report.json" 2> "$work/hsanalyze.log" &
ours=$!
# Two files in turn: the disk stays as it is.
# shellcheck disable=SC2086
tcpdump -Z root -i near -n $ring -s 256 -w "$work/tcpdump.pcap" -C 200 -W 2 2> "$work/tcpdump.log" &
theirs=$!
pids="$ours $theirs"
# Loading the BPF program and finding the owners of all sockets takes a while, once.
sleep 2
ours_start=$(cpu $ours)
theirs_start=$(cpu $theirs)

rss() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

"$send" --interface far --rate "$rate" --seconds "$seconds" > "$work/sent.json" &
sender=$!
pids="$pids $sender"
every=$(( seconds / 10 > 0 ? seconds / 10 : 1 ))
echo "  time  hsanalyze RSS MiB  CPU s   tcpdump RSS MiB  CPU s"
elapsed=0
while kill -0 "$sender" 2>/dev/null; do
    sleep "$every"
    elapsed=$(( elapsed + every ))
    printf '%5ss %18s %6s %17s %6s\n' "$elapsed" "$(rss $ours)" "$(cpu $ours)" "$(rss $theirs)" "$(cpu $theirs)"
done
wait "$sender"
# Half-open attempts are decided after some seconds of silence.
sleep 2
# Without the start-up.
since() { awk -v now="$1" -v before="$2" 'BEGIN { printf "%.2f", now - before }'; }
ours_cpu=$(since "$(cpu $ours)" "$ours_start")
theirs_cpu=$(since "$(cpu $theirs)" "$theirs_start")
kill -TERM $ours $theirs
wait $ours || echo "hsanalyze ended with status $?: $(cat "$work/hsanalyze.log")"
wait $theirs || true
pids=

echo
echo "sent       $(jq -c . "$work/sent.json")"
echo "hsanalyze  $(jq -c '{packets: .packets.total, dropped: .captures[0].dropped, verdicts: (.verdicts | with_entries(select(.value > 0)))}' "$work/report.json"), $ours_cpu s of CPU"
echo "CPU        hsanalyze, besides $ours_start s to start, / tcpdump = $(awk -v a="$ours_cpu" -v b="$theirs_cpu" 'BEGIN { printf "%.2f", a / (b > 0 ? b : 1) }')"
echo "tcpdump    $(grep -E 'captured|dropped by kernel' "$work/tcpdump.log" | tr '\n' ' ')$theirs_cpu s of CPU"
