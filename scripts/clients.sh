#!/bin/sh
# Prints the directory of the clients that e2e/clients_test.go runs and of the
# Node.js that it runs them on, as e2e/clients/package-lock.json has them. npm
# fetches them once, about 400 MB and half a minute; what it says goes to stderr.
set -eu

here="$(cd "$(dirname "$0")/../e2e/clients" && pwd)"
lock="$(sha256sum "$here/package-lock.json" | cut -c1-12)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/waggle/clients-$lock"
if [ ! -d "$dir" ]; then
	command -v npm >/dev/null || { echo "clients.sh: npm is needed: make deps-test" >&2; exit 1; }
	# Filled under a name of its own and renamed: nobody sees half of it.
	part="$dir.$$"
	trap 'rm -rf "$part"' EXIT
	trap 'exit 1' HUP INT TERM
	mkdir -p "$part"
	cp "$here/package.json" "$here/package-lock.json" "$part"
	echo "clients.sh: fetching the clients into $dir" >&2
	(cd "$part" && npm ci --ignore-scripts --omit=peer --no-audit --no-fund --loglevel=error >&2)
	mv -T "$part" "$dir" 2>/dev/null || [ -d "$dir" ] # somebody else may have been quicker
fi
echo "$dir"
