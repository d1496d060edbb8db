#!/bin/sh
# Throughput of nginx under wrk with no capture, with a live capture, and with one that has the BPF program: side by side,
# in turns, so that the machine's better and worse moments fall on all of them.
#
#   benches/live.sh [SECONDS [ROUNDS]]     (as root; default 10 s, 3 rounds)
#
# Each request has a connection of its own, on loopback, in a network namespace of its own. Needs iproute2, nginx, wrk and awk. HSANALYZE
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

# Runs wrk once and prints requests a second, and the capture's CPU time in seconds. $1 is off, counts (--no-bpf) or bpf.
run() {
    capture=
    if [ "$1" != off ]; then
        [ "$1" = bpf ] && without= || without=--no-bpf
        # shellcheck disable=SC2086 # an option, or nothing
        "$hsanalyze" -i lo --netns self -q $without --format json --verdict undetermined -o "$work/report.json" \
            2> "$work/log" &
        capture=$!
        sleep 2
    fi
    wrk -t 1 -c 32 -d "${seconds}s" http://127.0.0.1:8080/ > "$work/wrk"
    used=0
    if [ -n "$capture" ]; then
        used=$(cpu $capture)
        kill -TERM $capture
        wait $capture || echo "hsanalyze ended with status $?: $(cat "$work/log")" >&2
    fi
    awk -v used="$used" '/Requests\/sec/ { print $2, used }' "$work/wrk"
}

for round in $(seq "$rounds"); do
    for mode in off counts bpf; do
        run $mode >> "$work/$mode"
    done
done

echo "connections a second, and CPU seconds of the capture in ${seconds} s, by round"
for mode in off counts bpf; do
    awk -v mode=$mode '{ sum += $1; cpu += $2; runs = runs sprintf("%9.0f", $1) }
        END { printf "%-8s%s   mean %.0f, capture %.2f s\n", mode, runs, sum / NR, cpu / NR }' "$work/$mode"
done
