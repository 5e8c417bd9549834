package katibdbtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
)

func inspect(t *testing.T, db *katibdb.DB) katibdb.Inspection {
	t.Helper()
	found, err := db.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Unknown) > 0 {
		t.Fatalf("not everything could be read: %v", found.Unknown)
	}
	return found
}

// inspection of a database that is as it should be finds nothing wrong.
func inspection(t *testing.T, url string) {
	db := migrated(t, url)
	found := inspect(t, db)
	if found.Version == "" || found.ReadOnly != "" || found.Replica || found.Skew.Abs() > found.Trip+time.Second {
		t.Errorf("server: %+v", found)
	}
	if found.Migration != found.Newest || found.Newest == 0 || len(found.MissingTables)+len(found.WrongColumns)+len(found.NarrowText) > 0 {
		t.Errorf("tables: %+v", found)
	}
	settings := map[string][]string{
		"mysql":    {"innodb_flush_log_at_trx_commit", "innodb_doublewrite", "log_bin", "max_allowed_packet", "sql_mode", "sync_binlog"},
		"postgres": {"fsync", "full_page_writes", "synchronous_commit"},
		"sqlite":   {"journal_mode", "synchronous"},
	}[kind(url)]
	for _, name := range settings {
		if found.Settings[name] == "" {
			t.Errorf("no setting %s in %v", name, found.Settings)
		}
	}
	if server := kind(url) != "sqlite"; (found.Connections > 0) != server || (found.MaxConnections > found.Connections) != server {
		t.Errorf("%d connections of %d", found.Connections, found.MaxConnections)
	}
	if found.Indexed {
		t.Error("it has an index that nobody made")
	}
	if err := db.AddIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := inspect(t, db); !found.Indexed {
		t.Error("the index is not seen")
	}
}

func inspectionMissing(t *testing.T, url string) {
	db := open(t, url)
	if kind(url) == "sqlite" {
		if _, err := db.Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Fatalf("a file that is not there: %v", err)
		}
		exec(t, db, "CREATE TABLE other (id INTEGER)")
	}
	if found := inspect(t, db); found.Migration != 0 || len(found.MissingTables) != 6 {
		t.Errorf("an empty database: %+v", found)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "DROP TABLE stream_receipts")
	exec(t, db, "INSERT INTO stream_migrations (version_id, is_applied) VALUES (9001, TRUE)")
	if found := inspect(t, db); found.Migration != 9001 || !slices.Equal(found.MissingTables, []string{"stream_receipts"}) {
		t.Errorf("a table is gone, and a newer program migrated: %+v", found)
	}
	wantNumber(t, db, 0, "SELECT COUNT(*) FROM observation_logs")
}

// inspectionTable changes Katib's table for the worse.
func inspectionTable(t *testing.T, url string) {
	db := migrated(t, url)
	exec(t, db, "DROP TABLE observation_logs")
	charset := map[string]string{"mysql": " CHARACTER SET latin1"}[kind(url)]
	exec(t, db, "CREATE TABLE observation_logs (trial_name VARCHAR(100) NOT NULL, id INTEGER PRIMARY KEY, time DATE, value TEXT NOT NULL)"+charset)
	found := inspect(t, db)
	wrong := strings.Join(found.WrongColumns, "; ")
	for _, text := range []string{"trial_name is ", "(100), not ", "time is ", "metric_name is missing"} {
		if !strings.Contains(wrong, text) {
			t.Errorf("wrong columns are %q, want %q among them", wrong, text)
		}
	}
	if without := strings.Contains(wrong, "id is no") || strings.Contains(wrong, "id has no"); without != (kind(url) != "sqlite") {
		t.Errorf("ids that nobody gives: %s", wrong)
	}
	if strings.Contains(wrong, "value") {
		t.Errorf("a column is found wrong that is right: %s", wrong)
	}
	if narrow := strings.Join(found.NarrowText, ", "); kind(url) == "mysql" && narrow != "trial_name (latin1), value (latin1)" {
		t.Errorf("narrow text: %q", narrow)
	}
}

// inspectionIDs lets ids run towards the end of Katib's INT, 1000 of them in 10 minutes.
func inspectionIDs(t *testing.T, url string) {
	db := migrated(t, url)
	if kind(url) == "sqlite" {
		if found := inspect(t, db); found.MaxID != 0 {
			t.Errorf("ids of SQLite end at %d", found.MaxID)
		}
		return
	}
	if found := inspect(t, db); found.LastID != 0 || found.MaxID != 1<<31-1 || found.IDsPerDay != 0 {
		t.Errorf("no row: %+v", found)
	}
	exec(t, db, "INSERT INTO observation_logs (id, trial_name, time, metric_name, value) VALUES (2147480000, 't', '2026-11-24 12:00:00', 'm', '1')")
	exec(t, db, "INSERT INTO observation_logs (id, trial_name, time, metric_name, value) VALUES (2147481000, 't', '2026-11-24 12:10:00', 'm', '1')")
	exec(t, db, "INSERT INTO observation_logs (id, trial_name, time, metric_name, value) VALUES (2147481001, 't', '0001-01-01 00:00:00', 'm', 'unavailable')")
	if kind(url) == "postgres" {
		exec(t, db, "SELECT setval('observation_logs_id_seq', 2147481001)")
	}
	if found := inspect(t, db); found.LastID != 2147481001 || found.MaxID != 1<<31-1 || int(found.IDsPerDay+0.5) != 144_000 {
		t.Errorf("last id %d of %d, %v a day; want 144000", found.LastID, found.MaxID, found.IDsPerDay)
	}
	if err := db.WidenID(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := inspect(t, db); found.MaxID != 1<<63-1 || len(found.WrongColumns) > 0 {
		t.Errorf("after widening: %+v", found)
	}
}
