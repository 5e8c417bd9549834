#!/bin/sh
# Entry point of the local images of MariaDB and MySQL; like that of the official ones it lays the data folder out at the
# first start, runs the SQL in /docker-entrypoint-initdb.d, and passes arguments on to the server.
set -eu
data=/var/lib/katib-stream
mkdir -p /run/mysqld
cat /docker-entrypoint-initdb.d/*.sql >/run/mysqld/init.sql
chown -R mysql:mysql /run/mysqld
if [ ! -d "$data" ]; then
	mkdir "$data"
	chown mysql:mysql "$data"
	if [ -x /opt/mysql/mysqld ]; then
		/opt/mysql/mysqld --no-defaults --user=mysql --initialize-insecure --secure-file-priv=NULL --datadir="$data"
	else
		mariadb-install-db --no-defaults --user=mysql --datadir="$data" --auth-root-authentication-method=normal --skip-test-db
	fi
fi
set -- --no-defaults --user=mysql --datadir="$data" --bind-address=0.0.0.0 --socket=/run/mysqld/mysqld.sock \
	--pid-file=/run/mysqld/pid --skip-name-resolve --init-file=/run/mysqld/init.sql "$@"
if [ -x /opt/mysql/mysqld ]; then
	exec /opt/mysql/mysqld "$@" --secure-file-priv=NULL --mysqlx=OFF
fi
exec mariadbd "$@"
