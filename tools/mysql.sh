#!/usr/bin/env bash
# Gets the real MySQL on a Debian whose release has only MariaDB: Debian unstable's package, unpacked into a folder and run
# by the dynamic loader that came with it. Nothing is installed. Tests take it with KATIB_STREAM_TEST_MYSQL_DIR=DIR.
set -euo pipefail

usage="usage: tools/mysql.sh DIR"
if [[ $# -ne 1 || $1 == -* ]]; then
	echo "$usage" >&2
	exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)

say() { echo "mysql.sh: $*" >&2; }

if [[ -x $dir/mysqld ]]; then
	say "already there: $("$dir/mysqld" --version)"
	exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "this needs apt-get and dpkg-deb; elsewhere put MySQL's mysqld into the PATH, or use a Docker engine"
	exit 1
fi

# The mirror is the one that this machine's apt is set up with.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk -v release="$release" '$1 == release {print $2; exit}')
if [[ -z $mirror ]]; then
	say "apt has no package list of $release: run apt-get update, then this again"
	exit 1
fi

# An apt of its own, that knows nothing of what is installed here, so that the libraries come, too.
apt=$dir/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/etc" "$dir/root"
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror unstable main" >"$apt/sources.list"
private=(
	-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/etc" -o Dir::Etc::preferencesparts="$apt/etc"
	-o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache::archives="$apt/archives"
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o APT::Update::Post-Invoke-Success::=
	-o Debug::NoLocking=1
)
say "reading the package list of Debian unstable"
apt-get "${private[@]}" -qq update
say "downloading MySQL and its libraries (about 70 MB)"
apt-get "${private[@]}" -qq -y --no-install-recommends --download-only install mysql-server-core >/dev/null
say "unpacking"
for package in "$apt"/archives/*.deb; do
	dpkg-deb --extract "$package" "$dir/root"
done

root=$dir/root
loader=$(find "$root" -name 'ld-linux*.so*' | sort | head -n 1)
server=$(find "$root" -name mysqld -type f -perm -u+x | head -n 1)
if [[ -z $loader || -z $server ]]; then
	say "the packages hold no mysqld or no dynamic loader"
	exit 1
fi
libraries=$(find "$root/usr/lib" -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -sd:)
cat >"$dir/mysqld.new" <<WRAPPER
#!/bin/sh
exec '$loader' --library-path '$libraries' '$server' "\$@" --basedir='$root/usr'
WRAPPER
chmod +x "$dir/mysqld.new"
version=$("$dir/mysqld.new" --version)
mv "$dir/mysqld.new" "$dir/mysqld"
rm -rf "$apt"
say "ready: $version"
echo "export KATIB_STREAM_TEST_MYSQL_DIR=$dir"
