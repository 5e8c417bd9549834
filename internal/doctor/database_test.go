package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// nowhere keeps NATS out of what is tested.
const nowhere = "nats://127.0.0.1:1"

func open(t testing.TB, url string) *katibdb.DB {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, db *katibdb.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestDatabase begins with an empty database, mends it, and breaks it again.
func TestDatabase(t *testing.T) {
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			url := database.Fresh(t)
			cfg := withDatabase(t, configFor(nowhere), url)
			if database.Name == "sqlite" {
				wants(t, run(t, cfg), "server", Fail, "no such file")
			} else {
				wants(t, run(t, cfg), "migrations", Fail, "it has number 0 of ")
				wants(t, run(t, cfg), "observation_logs", Fail, "there is no such table")
			}
			kept := cfg
			kept.Fix = true
			report := run(t, kept)
			wants(t, report, "migrations", OK, "the newest")
			wants(t, report, "observation_logs", Note, "it has no index")
			wants(t, report, "characters", OK, "all of Unicode")
			wants(t, report, "writes", OK, "it takes them")
			if report.Count(Fail) != 1 || len(report.Fixed) == 0 || report.Unfixed() > 0 { // NATS
				t.Errorf("after --fix\n%s", lines(report))
			}
			if again := run(t, kept); len(again.Fixed) > 0 {
				t.Errorf("a second --fix still mends\n%s", lines(again))
			}
			db := open(t, url)
			if err := db.AddIndex(t.Context()); err != nil {
				t.Fatal(err)
			}
			wants(t, run(t, cfg), "observation_logs", OK, "with an index")
			exec(t, db, "INSERT INTO stream_migrations (version_id, is_applied) VALUES (9001, TRUE)")
			wants(t, run(t, cfg), "migrations", Warn, "it has number 9001")
			exec(t, db, "DELETE FROM stream_migrations WHERE version_id = 9001", "DROP TABLE stream_receipts")
			wants(t, run(t, cfg), "migrations", Fail, "tables are missing: stream_receipts")
			exec(t, db, "DROP TABLE observation_logs", "CREATE TABLE observation_logs (id INTEGER)")
			wants(t, run(t, cfg), "observation_logs", Fail, "trial_name is missing; ")
		})
	}
}

func TestDatabaseAway(t *testing.T) {
	for _, url := range []string{"mysql://me:s3cret@127.0.0.1:1/katib", "postgres://me:s3cret@127.0.0.1:1/katib", "sqlite:/nowhere/katib.db"} {
		report := run(t, withDatabase(t, configFor(testserver.NATS(t).URL()), url))
		wants(t, report, "server", Fail, "database")
		wants(t, report, "account", OK, "JetStream is enabled")
		if strings.Contains(lines(report), "s3cret") {
			t.Errorf("it tells the password\n%s", lines(report))
		}
	}
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		url := strings.Replace(database.Fresh(t), ":katib@", ":wrong@", 1)
		wants(t, run(t, withDatabase(t, configFor(nowhere), url)), "server", Fail, "reach database")
	}
}

// TestKatibsTable has columns of too few characters, ids that end, and a server that takes no writes.
func TestKatibsTable(t *testing.T) {
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			url := database.Fresh(t)
			db := open(t, url)
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			cfg := withDatabase(t, configFor(nowhere), url)
			wants(t, run(t, cfg), "ids", OK, "2147483647 of 2147483647 are left")
			insert := "INSERT INTO observation_logs (id, trial_name, time, metric_name, value) VALUES "
			exec(t, db, insert+"(2000000000, 't', '2026-11-24 00:00:00', 'm', '1'), (2000100000, 't', '2026-11-25 00:00:00', 'm', '1')")
			if database.Name == "postgres" {
				exec(t, db, "SELECT setval('observation_logs_id_seq', 2000100000)")
			}
			wants(t, run(t, cfg), "ids", Warn, "147383647 of 2147483647 are left, for 4 years at the rate")
			exec(t, db, insert+"(2147483000, 't', '2026-11-25 00:00:00', 'm', '1')")
			if database.Name == "postgres" {
				exec(t, db, "SELECT setval('observation_logs_id_seq', 2147483000)")
			}
			wants(t, run(t, cfg), "ids", Fail, "647 of 2147483647 are left")
			if database.Name == "postgres" {
				exec(t, db, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
				wants(t, run(t, cfg), "writes", Fail, "default_transaction_read_only is on")
				return
			}
			exec(t, db, "ALTER TABLE observation_logs CONVERT TO CHARACTER SET latin1")
			wants(t, run(t, cfg), "characters", Warn, "metric_name (latin1)")
		})
	}
}

// TestDatabaseServers starts servers with settings that lose commits.
func TestDatabaseServers(t *testing.T) {
	arguments := map[string][]string{
		"mysql":    {"--innodb-flush-log-at-trx-commit=2", "--log-bin=binlog", "--server-id=1", "--sync-binlog=0", "--innodb-doublewrite=0", "--max-allowed-packet=524288", "--max-connections=10", "--read-only=1"},
		"postgres": {"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=12"},
	}
	arguments["mariadb"] = arguments["mysql"]
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			server := testserver.Dedicated(t, database.Name, arguments[database.Name]...)
			report := run(t, withDatabase(t, configFor(nowhere), server.URL()))
			wants(t, report, "connections", Warn, "are open; a consumer takes up to")
			if database.Name == "postgres" {
				for name, value := range map[string]string{"fsync": "off, want on", "synchronous_commit": "off, want on", "full_page_writes": "off, want on"} {
					wants(t, report, name, Warn, value)
				}
				return
			}
			for name, value := range map[string]string{"innodb_flush_log_at_trx_commit": "2, want 1", "sync_binlog": "0, want 1", "innodb_doublewrite": "want on"} {
				wants(t, report, name, Warn, value)
			}
			wants(t, report, "max_allowed_packet", Fail, "524288 bytes")
			wants(t, report, "writes", Fail, "read_only is on")
		})
	}
}

// TestDatabaseHangs pauses a server: everything else is looked at, within the time-out.
func TestDatabaseHangs(t *testing.T) {
	server := testserver.Dedicated(t, "postgres")
	cfg := withDatabase(t, configFor(testserver.NATS(t).URL()), server.URL())
	cfg.Timeout = time.Second
	server.Pause()
	begin := time.Now()
	report := run(t, cfg)
	server.Resume()
	wants(t, report, "server", Fail, "no answer in time")
	wants(t, report, "account", OK, "JetStream is enabled")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestJudges are what no server here does.
func TestJudges(t *testing.T) {
	v := visit{cfg: Config{Database: &katibdb.Config{SkipKatibTable: true}}}
	v.judgeWrites(katibdb.Inspection{Replica: true})
	v.judgeRoomForUs(katibdb.Inspection{Settings: map[string]string{"sql_mode": "ANSI"}})
	v.judgeText(katibdb.Inspection{NarrowText: []string{"the database (SQL_ASCII)"}})
	v.judgeTable(katibdb.Inspection{MissingTables: []string{"observation_logs"}})
	v.judgeIDs(katibdb.Inspection{LastID: 1 << 20, MaxID: 1<<31 - 1, IDsPerDay: 1e9})
	v.inspected = &katibdb.Inspection{Settings: map[string]string{"synchronous": "NORMAL", "sync_binlog": "0", "log_bin": "0"}}
	v.lookAtDurability()
	wants(t, v.report, "writes", Warn, "a replica of another server")
	wants(t, v.report, "sql_mode", Fail, "values can be cut off")
	wants(t, v.report, "characters", Fail, "SQL_ASCII")
	wants(t, v.report, "observation_logs", Fail, "SKIP_DB_INITIALIZATION")
	wants(t, v.report, "ids", Fail, "are left, for ")
	wants(t, v.report, "synchronous", Warn, "NORMAL, want FULL")
	if strings.Contains(lines(v.report), "sync_binlog") {
		t.Error("sync_binlog matters only with a binary log")
	}
}
