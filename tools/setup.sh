#!/bin/sh
# Installs what `make test` needs and is missing: the server programs of MariaDB (or MySQL) and PostgreSQL. As root on
# Debian and its kin through apt; elsewhere it says what to install, and ends with status 1. Quiet when all is there.
set -eu

say() { echo "setup.sh: $*" >&2; }

# Where administrators' programs are, and Debian's PostgreSQL, which is in nobody's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin
has() { command -v "$1" >/dev/null 2>&1; }

has_mysql() {
	if has mariadbd && has mariadb-install-db; then
		return 0
	fi
	for server in "${KATIB_STREAM_TEST_MYSQL_DIR:-}/mysqld" mysqld; do
		if has "$server" && ! "$server" --version 2>&1 | grep -q MariaDB; then
			return 0
		fi
	done
	return 1
}

has_postgres() {
	for server in /usr/lib/postgresql/*/bin/postgres "$(command -v postgres || true)"; do
		if [ -x "$server" ] && [ -x "$(dirname "$(readlink -f "$server")")/initdb" ]; then
			return 0
		fi
	done
	return 1
}

engine_answers() { has docker && docker version >/dev/null 2>&1; }

provider=${KATIB_STREAM_TEST_PROVIDER:-auto}
if [ "$provider" = testcontainers ]; then
	if has docker && ! engine_answers; then
		say "KATIB_STREAM_TEST_PROVIDER is testcontainers, and no Docker engine answers: start one"
		exit 1
	fi
	exit 0 # without docker's own client the tests find out
fi

if has_mysql && has_postgres; then
	exit 0
fi

if ! has apt-get || [ "$(id -u)" != 0 ]; then
	if [ "$provider" = auto ] && engine_answers; then
		say "no server programs of MariaDB and PostgreSQL here; the tests will use Docker images"
		exit 0
	fi
	say "the tests need server programs that are missing here. Install:"
	has_mysql || say "  MariaDB: mariadbd and mariadb-install-db (Debian: mariadb-server-core mariadb-client-core; Homebrew: mariadb)"
	has_postgres || say "  PostgreSQL: postgres and initdb (Debian: postgresql; Homebrew: postgresql@17, in the PATH)"
	say "or start a Docker engine that can pull images. As root on Debian this script installs them itself."
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
say "reading the package lists"
apt-get -qq update

# Releases that are older have the server only as a whole.
candidate() { apt-cache policy "$1" | grep -q '^  Candidate: [^(]'; }

packages=
if ! has_mysql; then
	if candidate mariadb-server-core; then
		packages="mariadb-server-core mariadb-client-core"
	else
		packages="mariadb-server"
	fi
fi
if ! has_postgres; then
	packages="$packages postgresql"
fi
say "installing $packages (a minute or two)"
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
if ! apt-get -qq -y --no-install-recommends install $packages >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	say "apt could not install $packages; all it said is in $log"
	exit 1
fi
rm -f "$log"

if ! has_mysql || ! has_postgres; then
	say "apt installed $packages, and the server programs are still not found"
	exit 1
fi
say "ready"
