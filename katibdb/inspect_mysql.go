package katibdb

import (
	"context"
	"strings"
)

// mysqlSettings are what a commit is worth, and what a statement may hold. log_bin says whether sync_binlog matters.
var mysqlSettings = map[string]string{
	"innodb_flush_log_at_trx_commit": "SELECT @@global.innodb_flush_log_at_trx_commit",
	"log_bin":                        "SELECT @@global.log_bin",
	"sync_binlog":                    "SELECT @@global.sync_binlog",
	"innodb_doublewrite":             "SELECT @@global.innodb_doublewrite",
	"max_allowed_packet":             "SELECT @@global.max_allowed_packet",
	"sql_mode":                       "SELECT @@session.sql_mode",
	"character_set_database":         "SELECT @@character_set_database",
}

func (mysqlDialect) inspect(ctx context.Context, i *inspector) {
	if i.read(ctx, "the version", "SELECT VERSION()", &i.Version) {
		if number, _, maria := strings.Cut(i.Version, "-MariaDB"); maria {
			i.Version = "MariaDB " + number
		} else {
			i.Version = "MySQL " + i.Version
		}
	}
	i.clock(ctx, "SELECT UTC_TIMESTAMP(6)")
	for name, query := range mysqlSettings {
		i.setting(ctx, name, query)
	}
	i.mysqlServer(ctx)
	i.tables(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ("+quotedTables()+")")
	if i.has("observation_logs") {
		i.mysqlTable(ctx)
	}
}

// mysqlServer reads whether it takes writes, and how many connections it has left.
func (i *inspector) mysqlServer(ctx context.Context) {
	for _, name := range []string{"read_only", "innodb_read_only"} {
		var value string
		if i.read(ctx, name, "SELECT @@global."+name, &value) && value != "0" && !strings.EqualFold(value, "OFF") {
			i.ReadOnly = name + " is on"
		}
	}
	rows, err := i.conn.QueryContext(ctx, "SHOW REPLICA STATUS") // needs a right of its own
	i.note("whether it is a replica", err)
	if err == nil {
		i.Replica = rows.Next()
		rows.Close()
	}
	i.read(ctx, "the connections", "SELECT @@global.max_connections", &i.MaxConnections)
	var name string
	err = i.conn.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_connected'").Scan(&name, &i.Connections)
	i.note("the connections", err)
}

func (i *inspector) mysqlTable(ctx context.Context) {
	const of = " WHERE table_schema = DATABASE() AND table_name = 'observation_logs'"
	// Old servers write the width that they show numbers with.
	i.columns(ctx, `SELECT CONCAT(column_name, ' ', REGEXP_REPLACE(column_type, 'int\\([0-9]+\\)', 'int')) FROM information_schema.columns`+of, map[string][]string{
		"trial_name": {"varchar(255)"}, "id": {"int", "bigint", "int unsigned", "bigint unsigned"}, "time": {"datetime(6)"},
		"metric_name": {"varchar(255)"}, "value": {"text", "mediumtext", "longtext"},
	})
	i.NarrowText = i.list(ctx, "the character sets", narrowColumns)
	i.Indexed = len(i.list(ctx, "the indexes", "SELECT DISTINCT column_name FROM information_schema.statistics"+of+" AND column_name = 'trial_name' AND seq_in_index = 1")) > 0
	var kind, extra string
	err := i.conn.QueryRowContext(ctx, "SELECT column_type, extra FROM information_schema.columns"+of+" AND column_name = 'id'").Scan(&kind, &extra)
	if err != nil {
		i.note("the ids", err)
		return
	}
	if !strings.Contains(extra, "auto_increment") {
		i.WrongColumns = append(i.WrongColumns, "id is no AUTO_INCREMENT")
	}
	i.MaxID = maxIDs[strings.Contains(kind, "bigint")][strings.Contains(kind, "unsigned")]
	// The next id is written down elsewhere, but a server may show an old one; what a row has is certain.
	var next uint64
	if i.read(ctx, "the ids", "SELECT COALESCE(MAX(id), 0) FROM observation_logs", &i.LastID) &&
		i.read(ctx, "the ids", "SELECT COALESCE(auto_increment, 1) FROM information_schema.tables"+of, &next) {
		i.LastID = max(i.LastID, next-min(next, 1))
		i.rate(ctx)
	}
}

// maxIDs by whether the column is a bigint, and whether it is unsigned.
var maxIDs = map[bool]map[bool]uint64{
	false: {false: 1<<31 - 1, true: 1<<32 - 1},
	true:  {false: 1<<63 - 1, true: 1<<64 - 1},
}
