#!/usr/bin/env bash
# A long live run with metrics: listeners come and go, some overflow, and clients of the metrics are slow or hostile. Prints the
# resident memory each minute, and fails if it grows after the first third of the run.
#
#   benches/churn.sh [SECONDS [PROGRAM]]       an hour by default; as root
#
# Everything happens in a network namespace of its own.

set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3600}
program=${2:-${CARGO_TARGET_DIR:-target}/release/hsanalyze}
[ -x "$program" ] || { echo "churn: $program is missing: make demo builds it" >&2; exit 2; }
if [ "${HSANALYZE_CHURN:-}" != inside ]; then
    HSANALYZE_CHURN=inside exec unshare --net "$0" "$seconds" "$(readlink -f "$program")"
fi

ip link set lo up
# A wide range of addresses to listen at.
ip address add 10.0.0.0/8 dev lo 2>/dev/null || true
log=$(mktemp)
"$program" -i lo --netns self --quiet --metrics 9464 >"$log" 2>&1 &
capture=$!
python3 benches/churn.py "$seconds" &
churn=$!
trap 'kill "$capture" "$churn" 2>/dev/null || true; rm -f "$log"' EXIT

rss() { awk '/^VmRSS/ {print $2}' "/proc/$capture/status"; }
fetch() { python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:9464/metrics", timeout=10).read().decode())'; }

start=$SECONDS base=0 highest=0
echo "seconds  RSS_KiB  text_bytes  attempts  folded  forgotten"
while ((SECONDS - start < seconds)); do
    step=$((seconds < 600 ? 10 : 60))
    sleep "$step"
    kill -0 "$capture" || { cat "$log"; exit 1; }
    text=$(fetch)
    now=$(rss)
    at=$((SECONDS - start))
    printf '%s' "$text" | awk -v at="$at" -v rss="$now" -v size="${#text}" '
        /^hsanalyze_attempts_total/ { attempts += $NF }
        /^hsanalyze_folded.*listener/ { folded = $NF }
        /^hsanalyze_listeners_forgotten_total/ { forgotten = $NF }
        END { printf "%7d %8d %11d %9d %7d %10d\n", at, rss, size, attempts, folded, forgotten }'
    if ((base == 0 || at * 3 < seconds)); then base=$((now > base ? now : base)); else highest=$((now > highest ? now : highest)); fi
done
kill -TERM "$capture"
wait "$capture" || { cat "$log"; exit 1; }
growth=$(((highest - base) * 100 / base))
echo "highest in the first third $base KiB, later $highest KiB: $growth %"
# Allocators keep what was freed: a tenth is no leak.
((growth <= 10)) || { echo "churn: memory grows"; exit 1; }
