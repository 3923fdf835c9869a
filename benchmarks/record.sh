#!/usr/bin/env bash
# Runs everything that is measured and writes it to benchmarks/results, with the
# machine it ran on. Give the machine to it alone: what else runs is in the figures.
#
#   benchmarks/record.sh [--requests 20000] [--scale "10000 100000 1000000"]
set -euo pipefail
cd "$(dirname "$0")/.."
requests=20000 scale="10000 100000 1000000"
while [ $# -gt 0 ]; do
	case "$1" in
	--requests) requests="$2"; shift 2 ;;
	--scale) scale="$2"; shift 2 ;;
	*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done
out=benchmarks/results
cost="$(mktemp -d)/cost"
trap 'rm -rf "$(dirname "$cost")"' EXIT
go build -o "$cost" ./benchmarks/cost

cat >"$out/machine.json" <<JSON
{"date": "$(date -u +%FT%TZ)", "commit": "$(git rev-parse --short HEAD)", "go": "$(go env GOVERSION)", "cores": $(nproc),
 "cpu": "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)", "memory_mb": $(awk '/MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo),
 "kernel": "$(uname -sr)", "load_before": "$(cut -d' ' -f1-3 /proc/loadavg)"}
JSON
record() { # NAME ARGUMENTS...
	local name="$1"
	shift
	echo "cost $*" >&2
	"$cost" --json "$@" >"$out/$name.json.new"
	mv "$out/$name.json.new" "$out/$name.json"
}
record cost --requests "$requests"
record cost-gogc100 --requests "$requests" --gogc 100
for meters in $scale; do
	record "cost-$meters-meters" --requests $((meters / 4 < requests ? meters / 4 : requests)) --meters "$meters"
done
echo "peers.sh" >&2
benchmarks/peers.sh --json >"$out/peers.json"
go test -run '^$' -bench . ./benchmarks >"$out/stages.txt"
