#!/usr/bin/env bash
# Makes Docker images of NATS, MariaDB and PostgreSQL for the tests where no registry answers: of the machine's own Debian
# packages, and of the nats-server that go.mod names. With KATIB_STREAM_TEST_MYSQL_DIR (tools/mysql.sh) one of MySQL, too.
# Where no Docker engine answers it starts one of its own, as root, that keeps everything in DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -gt 1 || ${1:-} == -* ]]; then
	echo "usage: tools/docker-images.sh [DIR]    (default: a folder katib-stream-docker among temporary files)" >&2
	exit 2
fi
dir=${1:-${TMPDIR:-/tmp}/katib-stream-docker}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

say() { echo "docker-images.sh: $*" >&2; }
need() {
	command -v "$1" >/dev/null && return
	say "$1 is missing: install the package $2"
	exit 1
}
need docker docker.io

# An engine of our own leaves the machine's network as it is, and offers ports on loopback only.
start_engine() {
	need dockerd docker.io
	if [[ $(id -u) != 0 ]]; then
		say "no Docker engine answers, and only root can start one"
		exit 1
	fi
	say "starting a Docker engine in $dir"
	setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/docker.pid" -H "unix://$dir/docker.sock" \
		--iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --ip 127.0.0.1 >"$dir/dockerd.log" 2>&1 </dev/null &
	for _ in $(seq 100); do
		docker version >/dev/null 2>&1 && return
		sleep 0.2
	done
	say "the engine does not answer; the end of $dir/dockerd.log:"
	tail -n 5 "$dir/dockerd.log" >&2
	exit 1
}

if ! docker version >/dev/null 2>&1; then
	export DOCKER_HOST=unix://$dir/docker.sock
	docker version >/dev/null 2>&1 || start_engine
fi

name=katib-stream-test
work=$(mktemp -d "$dir/build-XXXXXX")
trap 'rm -rf "$work"' EXIT

# build NAME builds an image from the folder $work/NAME, whose Dockerfile is standard input.
build() {
	mkdir -p "$work/$1"
	cat >"$work/$1/Dockerfile"
	say "building $name/$1"
	DOCKER_BUILDKIT=0 docker build --quiet --tag "$name/$1" "$work/$1" >"$dir/build.log" 2>&1 || {
		tail -n 5 "$dir/build.log" >&2
		exit 1
	}
}

mkdir "$work/nats"
say "compiling nats-server"
CGO_ENABLED=0 go build -trimpath -o "$work/nats/nats-server" github.com/nats-io/nats-server/v2
build nats <<'DOCKERFILE'
FROM scratch
COPY nats-server /nats-server
ENTRYPOINT ["/nats-server"]
DOCKERFILE

if ! docker image inspect "$name/base" >/dev/null 2>&1; then
	need debootstrap debootstrap
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk -v release="$release" '$1 == release {print $2; exit}')
	if [[ -z $mirror ]]; then
		say "apt has no package list of $release: run apt-get update, then this again"
		exit 1
	fi
	say "installing Debian $release with MariaDB and PostgreSQL into an image (a minute or two)"
	debootstrap --variant=minbase --include=mariadb-server-core,mariadb-client-core,postgresql "$release" "$work/base" "$mirror" >"$dir/debootstrap.log" || {
		say "debootstrap ended early; the end of $dir/debootstrap.log:"
		tail -n 5 "$dir/debootstrap.log" >&2
		exit 1
	}
	chroot "$work/base" useradd --system mysql
	tar --numeric-owner -C "$work/base" -c . | docker import - "$name/base" >/dev/null
fi

mkdir "$work/mariadb" "$work/postgres"
cp tools/images/mysql-entrypoint.sh "$work/mariadb/entrypoint.sh"
cp tools/images/postgres-entrypoint.sh "$work/postgres/entrypoint.sh"
build mariadb <<DOCKERFILE
FROM $name/base
COPY entrypoint.sh /entrypoint.sh
EXPOSE 3306
ENTRYPOINT ["sh", "/entrypoint.sh"]
DOCKERFILE
build postgres <<DOCKERFILE
FROM $name/base
COPY entrypoint.sh /entrypoint.sh
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/entrypoint.sh"]
DOCKERFILE

mysql=
if [[ -n ${KATIB_STREAM_TEST_MYSQL_DIR:-} ]]; then
	mysql=$name/mysql
	mkdir "$work/mysql"
	cp tools/images/mysql-entrypoint.sh "$work/mysql/entrypoint.sh"
	server=$(cd "$KATIB_STREAM_TEST_MYSQL_DIR" && pwd)
	cp -a "$server" "$work/mysql/mysql"
	# The wrapper names the folder that it was made for.
	sed -i "s|$server|/opt/mysql|g" "$work/mysql/mysql/mysqld"
	build mysql <<-DOCKERFILE
		FROM $name/base
		COPY mysql /opt/mysql
		COPY entrypoint.sh /entrypoint.sh
		EXPOSE 3306
		ENTRYPOINT ["sh", "/entrypoint.sh"]
	DOCKERFILE
fi

if [[ -n ${DOCKER_HOST:-} ]]; then
	echo "export DOCKER_HOST=$DOCKER_HOST"
fi
cat <<ENV
export KATIB_STREAM_TEST_PROVIDER=testcontainers
export KATIB_STREAM_TEST_IMAGE_NATS=$name/nats
export KATIB_STREAM_TEST_IMAGE_MARIADB=$name/mariadb
export KATIB_STREAM_TEST_IMAGE_POSTGRES=$name/postgres
export KATIB_STREAM_TEST_IMAGE_MYSQL=$mysql
export TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1
export TESTCONTAINERS_RYUK_DISABLED=true
ENV
if [[ -f $dir/docker.pid ]]; then
	say "the engine in $dir goes on running; end it with: kill \$(cat $dir/docker.pid)"
fi
