#!/bin/sh
# Throughput of nginx under wrk with no capture, with a live capture, with one that has the BPF program, and with tcpdump: side
# by side, in turns, so that the machine's better and worse moments fall on all of them. Then what a capture and tcpdump take
# beside each other, of the same packets.
#
#   benches/live.sh [SECONDS [ROUNDS]]     (as root; default 10 s, 3 rounds)
#
# Each request has a connection of its own, on loopback, in a network namespace of its own. Needs iproute2, nginx, wrk, tcpdump, jq and awk. HSANALYZE
# names a program that is built already.
set -eu

seconds=${1:-10}
rounds=${2:-3}

if [ "${LIVE_INSIDE:-}" != yes ]; then
    cd "$(dirname "$0")/.."
    if [ -z "${HSANALYZE:-}" ]; then
        cargo build --profile dist --locked --bin hsanalyze
    fi
    LIVE_INSIDE=yes exec unshare --net "$0" "$seconds" "$rounds"
fi

hsanalyze=${HSANALYZE:-target/dist/hsanalyze}
. benches/processes.sh

ip link set lo up
cat > "$work/nginx.conf" <<END
worker_processes 1; daemon off; pid $work/pid; error_log $work/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_timeout 0;
client_body_temp_path $work/a; proxy_temp_path $work/b; fastcgi_temp_path $work/c; uwsgi_temp_path $work/d; scgi_temp_path $work/e;
server { listen 127.0.0.1:8080 backlog=1024; return 200; } }
END
nginx -c "$work/nginx.conf" &
pids=$!
sleep 1

# Starts a capture: counts (--no-bpf), bpf or tcpdump. Its process is $!, its report is in a file of its name.
capture() {
    case $1 in
    tcpdump) tcpdump -Z root -i lo -n -s 256 -w "$work/tcpdump.pcap" -C 200 -W 2 2> "$work/tcpdump.log" & ;;
    *)
        [ "$1" = bpf ] && without= || without=--no-bpf
        # shellcheck disable=SC2086 # an option, or nothing
        "$hsanalyze" -i lo --netns self -q $without --format json --verdict undetermined -o "$work/$1.json" \
            2> "$work/$1.log" &
        ;;
    esac
}

# Runs wrk beside these captures. Prints requests a second, and the CPU time that each capture took of the packets, in seconds.
run() {
    running=
    begun=
    for kind; do
        capture "$kind"
        running="$running $!"
        pids="$pids $!"
    done
    [ -z "$running" ] || sleep 2
    for one in $running; do begun="$begun $(cpu "$one")"; done
    wrk -t 1 -c 32 -d "${seconds}s" http://127.0.0.1:8080/ > "$work/wrk"
    # What was captured last is analysed.
    [ -z "$running" ] || sleep 1
    used=
    for one in $running; do
        used="$used $(cpu "$one")"
        kill -TERM "$one"
        wait "$one" || echo "a capture ended with status $?: $(cat "$work"/*.log)" >&2
    done
    awk -v begun="$begun" -v used="$used" '/Requests\/sec/ {
        many = split(used, now); split(begun, before)
        printf "%s", $2; for (n = 1; n <= many; n++) printf " %.2f", now[n] - before[n]; print ""
    }' "$work/wrk"
}

for round in $(seq "$rounds"); do
    run >> "$work/off.runs"
    for mode in counts bpf tcpdump; do
        run $mode >> "$work/$mode.runs"
    done
    run bpf tcpdump >> "$work/beside.runs"
done

echo "connections a second by round, and CPU seconds that the capture took of their packets in ${seconds} s"
for mode in off counts bpf tcpdump; do
    awk -v mode=$mode '{ sum += $1; cpu += $2; runs = runs sprintf("%9.0f", $1) }
        END { printf "%-8s%s   mean %.0f, capture %.2f s\n", mode, runs, sum / NR, cpu / NR }' "$work/$mode.runs"
done
packets=$(jq .packets.total "$work/bpf.json")
awk -v packets="$packets" '{ ours += $2; theirs += $3 }
    END { printf "beside each other (%d packets in the last round): capture %.2f s, tcpdump %.2f s, %.2f times as much\n",
        packets, ours / NR, theirs / NR, ours / (theirs > 0 ? theirs : 1) }' "$work/beside.runs"
