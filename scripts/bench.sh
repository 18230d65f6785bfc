#!/usr/bin/env bash
# The figures that Waggle is measured by, with the machine's load beside them.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== $(uptime)"
lscpu | sed -n 's/^Model name: *//p;s/^CPU(s): */CPUs: /p'
go test -run '^$' -bench 'Scan|Search' -benchtime 2s ./index/...
# as `waggle serve` sets itself up
GOGC=300 GOMAXPROCS=$(($(nproc) + 2)) go test -run '^$' -bench 'DurableWrites' -benchtime 5x ./grains
go test -run '^$' -bench . -benchtime 3x -timeout 20m ./e2e
echo "== $(uptime)"
