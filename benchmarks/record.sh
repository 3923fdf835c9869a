#!/usr/bin/env bash
# Runs everything that is measured and writes it to benchmarks/results, with the
# machine it ran on. Give the machine to it alone: what else runs is in the figures.
# It asks nothing and takes about five minutes on two cores; a file is replaced when
# its measurement is whole. peers.json leaves out what is not installed: name DCC's
# tool with SAFEMODE_DCC_SIGN_TOOL (see peers.sh).
#
#   benchmarks/record.sh [--requests 10000] [--scale "10000 100000 1000000"]
set -euo pipefail
cd "$(dirname "$0")/.."
requests=10000 scale="10000 100000 1000000"
while [ $# -gt 0 ]; do
	case "$1" in
	--requests) requests="$2"; shift 2 ;;
	--scale) scale="$2"; shift 2 ;;
	*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done
out=benchmarks/results
cost="$(mktemp -d)/cost"
trap 'rm -rf "$(dirname "$cost")" "$out"/*.new' EXIT
go build -o "$cost" ./benchmarks/cost

cat >"$out/machine.json" <<JSON
{"date": "$(date -u +%FT%TZ)", "commit": "$(git rev-parse --short HEAD)", "go": "$(go env GOVERSION)", "cores": $(nproc),
 "cpu": "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)", "memory_mb": $(awk '/MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo),
 "kernel": "$(uname -sr)", "load_before": "$(cut -d' ' -f1-3 /proc/loadavg)"}
JSON
record() { # FILE COMMAND...
	local file="$out/$1"
	shift
	printf '%4ss  %s\n' "$SECONDS" "${*/#$cost/cost}" >&2
	"$@" >"$file.new"
	mv "$file.new" "$file"
}
record cost.json "$cost" --json --requests "$requests" --table "$out/cost.txt"
record cost-short.json "$cost" --json --requests 3000 # what .ci/run is held against: of its own length
record cost-gogc100.json "$cost" --json --requests $((requests / 2)) --homes 0 --gogc 100
for meters in $scale; do # the same requests of a greater plan
	record "cost-$meters-meters.json" "$cost" --json --requests 5000 --homes 0 --meters "$meters"
done
record peers.json benchmarks/peers.sh --json
record stages.txt go test -run '^$' -bench . ./benchmarks
printf '%4ss  done\n' "$SECONDS" >&2
