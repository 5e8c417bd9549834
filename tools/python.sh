#!/bin/sh
# Makes .venv, the Python environment of the tests: Katib's own SDK among others. As root on Debian it installs Python, too;
# elsewhere it says what to install, and ends with status 1. Quiet when all is there.
set -eu
cd "$(dirname "$0")/.."

say() { echo "python.sh: $*" >&2; }

requirements=integration/python/requirements.txt
if [ -f .venv/requirements.txt ] && cmp -s "$requirements" .venv/requirements.txt; then
	exit 0
fi

works() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; }

if ! works; then
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
		say "the tests need Python 3.9 or later with venv and ensurepip (Debian: python3-venv; Homebrew: python)"
		exit 1
	fi
	say "installing python3-venv"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	apt-get -qq -y --no-install-recommends install python3-venv >/dev/null
fi

say "making .venv with Katib's SDK (half a minute)"
rm -rf .venv
python3 -m venv .venv
log=$(mktemp)
if ! .venv/bin/pip install --disable-pip-version-check --quiet -r "$requirements" >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	say "pip could not install $requirements; all it said is in $log"
	exit 1
fi
rm -f "$log"
cp "$requirements" .venv/requirements.txt
