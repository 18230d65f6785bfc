#!/usr/bin/env bash
# Installs what Waggle's commands need from Debian: a compiler for the race
# detector, make, git, and the data set of `make demo`; with the argument "test"
# also npm, which fetches the clients that the tests run, and WordNet, whose texts
# they search. It may be run again at any time; what is there is left alone. Go
# itself (1.26.7 or newer) must be there.
set -euo pipefail

packages=(make gcc libc6-dev git ca-certificates curl dataset-fashion-mnist)
# npm may be there without a package of its name, and any since version 7 will do.
if [[ "${1:-}" == test ]] && ! command -v npm >/dev/null; then packages+=(npm); fi
if [[ "${1:-}" == test ]]; then packages+=(wordnet-base); fi

command -v go >/dev/null || {
	echo "Go 1.26.7 or newer is needed: https://go.dev/dl/" >&2
	exit 1
}
command -v dpkg-query >/dev/null || exit 0 # not Debian: the reader installs the like

missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
((${#missing[@]})) || exit 0

sudo=()
if ((EUID != 0)); then sudo=(sudo); fi
echo "installing ${missing[*]}" >&2
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
