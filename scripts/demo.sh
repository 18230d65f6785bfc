#!/usr/bin/env bash
# Runs ./waggle demo against a node of its own, on a fresh directory and free
# ports, and stops the node afterwards. Arguments go to `waggle demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
export WAGGLE_KEY=hh_live_demo0000000000000000000000000000000000
WAGGLE_BOOTSTRAP_TENANT_KEY=$WAGGLE_KEY ./waggle serve --data "$dir/data" \
	--listen 127.0.0.1:0 --qdrant-listen off >"$dir/ready" 2>"$dir/log" &
node=$!
trap 'kill $node 2>/dev/null || true; wait $node 2>/dev/null || true; rm -rf "$dir"' EXIT

until grep -q '^waggle ready' "$dir/ready"; do
	kill -0 $node 2>/dev/null || {
		cat "$dir/log" >&2
		exit 1
	}
	sleep 0.1
done
WAGGLE_URL=http://$(sed 's/.*http=\([^ ]*\).*/\1/' "$dir/ready") ./waggle demo "$@"
