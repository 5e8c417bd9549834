package katibdbtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/katib-stream/katib-stream/katibdb"
)

func migrationsAtOnce(t *testing.T, url string) {
	const replicas = 8
	databases := make([]*katibdb.DB, replicas)
	for i := range databases {
		databases[i] = open(t, url)
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for _, db := range databases {
		wg.Go(func() {
			<-begin
			if err := db.Migrate(t.Context()); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	close(begin)
	wg.Wait()
	for _, db := range databases {
		if err := db.Migrate(t.Context()); err != nil {
			t.Errorf("migrate again: %v", err)
		}
	}
	wantNumber(t, databases[0], 1, "SELECT COUNT(*) FROM stream_migrations WHERE version_id = 1")
	wantNumber(t, databases[0], 1, "SELECT COUNT(*) FROM stream_migrations WHERE version_id = 0")
	persist(t, databases[0], "P", message(1))
	persist(t, databases[7], "D", message(1))
}

// interruptedMigration was killed before it noted anything: on MySQL, where each statement is committed by itself, what it
// made until then stays.
func interruptedMigration(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	if kind(url) == "mysql" {
		exec(t, db, "DELETE FROM stream_migrations")
		exec(t, db, "DROP TABLE stream_receipts")
	}
	again := migrated(t, url)
	persist(t, again, "DP", messages(1, 3)...)
}

// exactTable compares the table that we make with the one that Katib makes.
func exactTable(t *testing.T, url string) {
	db := migrated(t, url)
	ours := columns(t, db, url)
	exec(t, db, "DROP TABLE observation_logs")
	exec(t, db, katibsTable(url))
	if theirs := columns(t, db, url); ours != theirs {
		t.Fatalf("our table is\n%s\nKatib's is\n%s", ours, theirs)
	}
}

// katibsTable is the statement of Katib's db-manager; for SQLite, which Katib does not know, it is our own choice.
func katibsTable(url string) string {
	id := map[string]string{
		"mysql":    "id INT AUTO_INCREMENT PRIMARY KEY, time DATETIME(6),",
		"postgres": "id serial PRIMARY KEY, time TIMESTAMP(6),",
		"sqlite":   "id INTEGER PRIMARY KEY AUTOINCREMENT, time DATETIME,",
	}[kind(url)]
	return "CREATE TABLE IF NOT EXISTS observation_logs (trial_name VARCHAR(255) NOT NULL, " + id +
		" metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL)"
}

func columns(t *testing.T, db *katibdb.DB, url string) string {
	t.Helper()
	query := map[string]string{
		"mysql": `SELECT CONCAT_WS(' ', column_name, column_type, is_nullable, column_key, extra) FROM information_schema.columns
			WHERE table_schema = DATABASE() AND table_name = 'observation_logs' ORDER BY ordinal_position`,
		"postgres": `SELECT CONCAT_WS(' ', column_name, data_type, character_maximum_length, datetime_precision, is_nullable, column_default)
			FROM information_schema.columns WHERE table_name = 'observation_logs' ORDER BY ordinal_position`,
		"sqlite": `SELECT name || ' ' || type || ' ' || "notnull" || ' ' || pk FROM pragma_table_info('observation_logs') ORDER BY cid`,
	}[kind(url)]
	rows, err := db.SQL().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		found = append(found, column)
	}
	if err := rows.Err(); err != nil || len(found) != 5 {
		t.Fatalf("%d columns, %v", len(found), err)
	}
	return strings.Join(found, "\n")
}

func foundTable(t *testing.T, url string) {
	var log bytes.Buffer
	db := open(t, url, func(cfg *katibdb.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	table := katibsTable(url)
	if kind(url) == "mysql" {
		table += " DEFAULT CHARACTER SET latin1"
	}
	exec(t, db, table)
	exec(t, db, "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('trial', '2026-11-24 00:00:00', 'loss', 'katib')")
	before := columns(t, db, url)
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := columns(t, db, url); after != before {
		t.Fatalf("Katib's table was changed from\n%s\nto\n%s", before, after)
	}
	persist(t, db, "P", message(1))
	wantValues(t, db, "trial", "katib", "1")
	if warned := strings.Contains(log.String(), "metric_name (latin1)"); warned != (kind(url) == "mysql") {
		t.Fatalf("the log about a character set that lacks characters: %s", &log)
	}
}

func missingTable(t *testing.T, url string) {
	db := open(t, url, func(cfg *katibdb.Config) { cfg.SkipKatibTable = true })
	err := db.Migrate(t.Context())
	if err == nil || !strings.Contains(err.Error(), "observation_logs") || !strings.Contains(err.Error(), "SKIP_DB_INITIALIZATION") ||
		strings.Contains(err.Error(), "\n") {
		t.Fatalf("a missing table gives %v", err)
	}
	wantNumber(t, db, 0, producers)
	exec(t, db, katibsTable(url))
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	persist(t, db, "P", message(1))
}

func index(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "PP", messages(1, 2)...)
	for range 2 {
		if err := db.AddIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	query := map[string]string{
		"mysql":    "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'observation_logs' AND index_name <> 'PRIMARY'",
		"postgres": "SELECT 2 * COUNT(*) FROM pg_indexes WHERE tablename = 'observation_logs' AND indexdef LIKE '%(trial_name, \"time\")'",
		"sqlite":   "SELECT COUNT(*) FROM pragma_index_info('observation_logs_trial_time')",
	}[kind(url)]
	wantNumber(t, db, 2, query) // one index of two columns
	wantValues(t, db, "trial", "1", "2")
}
