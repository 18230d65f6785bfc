#!/usr/bin/env bash
# The figures that Waggle is measured by, with the machine's load beside them.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== $(uptime)"
lscpu | sed -n 's/^Model name: *//p;s/^CPU(s): */CPUs: /p'
go test -run '^$' -bench 'Scan|Search' -benchtime 2s ./index/...
go test -run '^$' -bench 'DurableWrites' -benchtime 5s ./grains
go test -run '^$' -bench . -benchtime 3x -timeout 20m ./e2e
echo "== $(uptime)"
