#!/bin/sh
# Entry point of the local image of PostgreSQL; like that of the official one it lays the data folder out at the first
# start, with the superuser of POSTGRES_USER and POSTGRES_PASSWORD, and passes arguments on to the server.
set -eu
data=/var/lib/katib-stream
bin=$(echo /usr/lib/postgresql/*/bin)
if [ ! -d "$data" ]; then
	mkdir "$data"
	echo "$POSTGRES_PASSWORD" >/run/password
	chown postgres "$data" /run/password
	setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/initdb" --pgdata="$data" --no-sync --username="$POSTGRES_USER" \
		--pwfile=/run/password --auth=scram-sha-256 --encoding=UTF8 --locale=C
	echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -D "$data" -h '*' -c unix_socket_directories= "$@"
