#!/bin/sh
# Prints the path of a Consul binary for tests: $CONSUL_BIN when it is set, else
# the one in the cache, else one built there from e2e/tools/consul. The build
# takes ten to twenty minutes on two cores, once; what it says goes to stderr.
set -eu

version=1.14.11
if [ -n "${CONSUL_BIN:-}" ]; then
	[ -x "$CONSUL_BIN" ] || { echo "consul.sh: CONSUL_BIN=$CONSUL_BIN is not a program" >&2; exit 1; }
	echo "$CONSUL_BIN"
	exit 0
fi

dir="${XDG_CACHE_HOME:-$HOME/.cache}/waggle"
bin="$dir/consul-$version"
if [ ! -x "$bin" ]; then
	# Built under a name of its own and renamed: nobody sees half a program.
	mkdir -p "$dir"
	part="$bin.$$"
	trap 'rm -f "$part"' EXIT
	trap 'exit 1' HUP INT TERM
	echo "consul.sh: building Consul $version into $bin, ten to twenty minutes" >&2
	cd "$(dirname "$0")/../e2e/tools/consul"
	GOFLAGS= GOWORK=off go build -trimpath -p 2 -ldflags '-s -w' -o "$part" github.com/hashicorp/consul >&2
	mv "$part" "$bin"
	echo "consul.sh: built $bin" >&2
fi
echo "$bin"
