package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// carelessTables are observation_logs as somebody may have made it: with a column that takes names for the same whose
// letters differ in case.
var carelessTables = map[string][]string{
	"mysql": {`CREATE TABLE observation_logs (trial_name VARCHAR(255) NOT NULL, id INT AUTO_INCREMENT PRIMARY KEY, time DATETIME(6),
		metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`},
	"postgres": {
		`CREATE COLLATION careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`CREATE TABLE observation_logs (trial_name VARCHAR(255) COLLATE careless NOT NULL, id serial PRIMARY KEY, time TIMESTAMP(6),
			metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL)`,
	},
	"sqlite": {`CREATE TABLE observation_logs (trial_name VARCHAR(255) COLLATE NOCASE NOT NULL, id INTEGER PRIMARY KEY AUTOINCREMENT,
		time DATETIME, metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL)`},
}

// TestNamesThatAreNearlyTheSame keeps trials apart in such a table: from the rows that another program wrote there under
// a name in capitals, which no message can have, and two of the longest names from each other.
func TestNamesThatAreNearlyTheSame(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		scheme, _, _ := strings.Cut(url, ":")
		db := openAs(t, url)
		for _, statement := range carelessTables[scheme] {
			if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		const others = `INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('My-Trial', '2026-11-24 12:00:00', 'n', 'theirs')`
		if _, err := db.SQL().ExecContext(t.Context(), others); err != nil {
			t.Fatal(err)
		}
		count := func(where string) (rows int) {
			t.Helper()
			if err := db.SQL().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM observation_logs WHERE "+where).Scan(&rows); err != nil {
				t.Fatal(err)
			}
			return rows
		}
		if n := count("trial_name = 'my-trial'"); n != 1 {
			t.Fatalf("the table finds %d rows of my-trial; want the one of My-Trial, or this proves nothing", n)
		}

		js := connect(t, testserver.NATS(t).URL())
		ensureStreams(t, js)
		consume(t, js, db, consumer.Config{})
		long := strings.Repeat("t", 252)
		for n := range 10 {
			for _, trial := range []string{"my-trial", "My-Trial", long + "a", long + "b"} {
				// The one in capitals is refused, as a dead letter.
				send(t, js, "katib.metrics.default."+trial+".me", fmt.Sprintf(`{"metrics":{"n":"%s-%d"}}`, trial[len(trial)-1:], n), nil)
			}
		}
		settled(t, js)
		for trial, letter := range map[string]string{"my-trial": "l", long + "a": "a", long + "b": "b"} {
			rows, err := db.Rows(t.Context(), trial)
			if err != nil || len(rows) != 10 {
				t.Fatalf("%d rows, %v; want 10", len(rows), err)
			}
			for n, row := range rows {
				if want := fmt.Sprintf("%s-%d", letter, n); row.Value != want {
					t.Errorf("row %d of …%s is %s; want %s", n, letter, row.Value, want)
				}
			}
		}
		if letters := deadLetters(t, js); len(letters) != 10 {
			t.Errorf("%d dead letters; want the 10 with capitals", len(letters))
		}
		if err := db.DeleteTrial(t.Context(), "my-trial", noMessages); err != nil {
			t.Fatal(err)
		}
		if n := count("value = 'theirs'"); n != 1 {
			t.Error("deleting my-trial has deleted the rows of My-Trial")
		}
		if n := count("metric_name = 'n'"); n != 21 {
			t.Errorf("%d rows are left; want the 20 of the others and theirs", n)
		}
	})
}

func noMessages(context.Context) (epoch string, sequence uint64, at time.Time, err error) {
	return "epoch", 0, time.Now(), nil
}
