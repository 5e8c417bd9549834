#!/bin/sh
# Makes .venv, the Python environment of the tests and linters, and installs katib_stream into it, editable. As root on
# Debian it installs Python, too; elsewhere it says what to install, and ends with status 1. Quiet when all is there.
set -eu
cd "$(dirname "$0")/.."

say() { echo "python.sh: $*" >&2; }
give_up() { say "$@" && exit 1; }

# is_stamped NAME FILE... tells whether .venv was made of these files as they are now; stamp NAME FILE... notes that it was.
is_stamped() { stamped=.venv/$1 && shift && [ -f "$stamped" ] && cat "$@" | cmp -s - "$stamped"; }
stamp() { stamped=.venv/$1 && shift && cat "$@" >"$stamped"; }

works() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

install_python() {
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
		give_up "the tests need Python 3.11 or later with venv and ensurepip (Debian: python3-venv; Homebrew: python)"
	fi
	say "installing python3-venv"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	apt-get -qq -y --no-install-recommends install python3-venv >/dev/null
	works || give_up "this release's Python is older than 3.11, which the libraries of the tests need: install a later one"
}

# install ARGUMENT... runs pip, which is heard only when it fails.
install() {
	log=$(mktemp)
	if ! .venv/bin/pip install --disable-pip-version-check --quiet --no-compile "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		give_up "pip could not install $*; all it said is in $log"
	fi
	rm -f "$log"
}

make_environment() {
	say "making .venv: Katib's SDK, machine learning libraries, linters (1 GB; a minute or two)"
	rm -rf .venv
	python3 -m venv .venv
	install -r tools/python/requirements.txt -c tools/python/constraints.txt
	# On all cores, where pip takes one, and without what no test imports; Python compiles that itself if need be. Some
	# libraries hold files that are no Python of this version, which is why it may fail.
	.venv/bin/python -m compileall -q -j 0 -x '/tests/|/transformers/models/' .venv/lib >/dev/null 2>&1 || true
	.venv/bin/pip check >/dev/null || .venv/bin/pip check >&2 || give_up "the versions in tools/python do not fit together"
}

pinned="tools/python/requirements.txt tools/python/constraints.txt"
# All that is copied into the environment; the code is read where it is.
package="producer/python/pyproject.toml producer/python/src/katib_stream/_version.py"

# shellcheck disable=SC2086 # lists of names
{
	if ! is_stamped pinned $pinned; then
		works || install_python
		make_environment
		stamp pinned $pinned
	fi
	if ! is_stamped package $package; then
		install --no-deps --no-build-isolation --editable producer/python
		stamp package $package
	fi
}
