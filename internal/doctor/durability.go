package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// lasting is a setting that decides whether a commit survives a crash of the machine.
type lasting struct {
	name, least string
	is          func(value string) bool
	mend        string
}

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, value) }
}

var settings = []lasting{
	{"innodb_flush_log_at_trx_commit", "1", oneOf("1"), "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in the server's configuration"},
	{"sync_binlog", "1", oneOf("1"), "SET GLOBAL sync_binlog = 1, and the same in the server's configuration"},
	{"innodb_doublewrite", "on", func(value string) bool { return value != "0" && value != "OFF" }, "innodb_doublewrite = ON in the server's configuration, unless the disk writes whole pages at once"},
	{"fsync", "on", oneOf("on"), "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"},
	{"synchronous_commit", "on", oneOf("on", "local", "remote_write", "remote_apply"), "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()"},
	{"full_page_writes", "on", oneOf("on"), "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()"},
	{"synchronous", "FULL", oneOf("FULL", "EXTRA"), "run this version of katib-stream everywhere: it sets PRAGMA synchronous = FULL"},
	{"journal_mode", "wal", oneOf("wal"), "PRAGMA journal_mode = WAL; consumers set it when they start"},
}

// lookAtDurability asks what a crash of the machine can take: what NATS acknowledged, and what the database committed.
func (v *visit) lookAtDurability() {
	if v.stream != nil {
		v.judgeSync()
	}
	if v.inspected == nil {
		return
	}
	for _, d := range settings {
		value, known := v.inspected.Settings[d.name]
		if !known || d.name == "sync_binlog" && oneOf("0", "OFF")(v.inspected.Settings["log_bin"]) {
			continue
		}
		status := Warn
		if d.name == "journal_mode" {
			status = Note // only concurrent readers wait
		}
		if d.is(value) {
			v.ok(d.name, "%s", value)
			continue
		}
		v.say(d.name, status, fmt.Sprintf("%s, want %s: a crash of the database's machine can take commits whose messages were acknowledged", value, d.least), d.mend)
	}
}

// judgeSync knows only how many copies there are: a client is not told when a server writes to its disk.
func (v *visit) judgeSync() {
	copies := v.stream.CachedInfo().Config.Replicas
	detail := "unknown, for clients are not told; by default a server acknowledges up to 2 minutes before it syncs: ask the server's administrator for jetstream { sync_interval: always }"
	if copies == 1 {
		detail += ", for there is one copy"
	} else {
		detail += fmt.Sprintf(", or for %d servers in separate zones, which do not all crash at once", copies)
	}
	v.say("NATS sync_interval", Note, detail, "")
}

// lookAtClocks compares those of NATS and of the database with ours. A deletion allows for a minute.
func (v *visit) lookAtClocks() {
	switch {
	case v.nc == nil:
		v.skip("NATS", "NATS is not reachable")
	case v.trip == 0:
		v.skip("NATS", "only a stream tells the server's time, and %s cannot be looked at", schema.Stream)
	default:
		v.judgeClock("NATS", v.skew, v.trip)
	}
	if v.inspected != nil && v.inspected.Trip > 0 {
		v.judgeClock("database", v.inspected.Skew, v.inspected.Trip)
	}
}

func (v *visit) judgeClock(check string, skew, trip time.Duration) {
	const allowed = time.Second
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	detail := fmt.Sprintf("%v %s this machine's, give or take %v", skew.Abs().Round(time.Millisecond), way, (trip / 2).Round(time.Millisecond))
	if skew.Abs()-trip/2 > allowed {
		v.say(check, Warn, detail+"; a deletion tells by its time what came before, to a minute", "set the clock by NTP, here and there")
		return
	}
	v.ok(check, "%s", detail)
}
