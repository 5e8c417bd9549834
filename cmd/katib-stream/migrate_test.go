package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			db := database.Fresh(t)
			got := katibStream(t, "migrate", "--db", db, "--log-format", "json")
			if got.status != statusOK || !strings.HasSuffix(got.stdout, " is up to date\n") || !strings.Contains(got.stderr, `"msg":"migrated"`) {
				t.Errorf("the first time: %v", got)
			}
			for _, table := range []string{"observation_logs", "stream_trials", "stream_producers", "stream_receipts"} {
				if found := query(t, db, "SELECT COUNT(*) FROM "+table); len(found) != 1 {
					t.Errorf("there is no table %s", table)
				}
			}
			again := katibStream(t, "migrate", "--db", db, "-o", "json")
			var printed map[string]string
			if err := json.Unmarshal([]byte(again.stdout), &printed); err != nil || again.status != statusOK || again.stderr != "" {
				t.Fatalf("the second time: %v, %v", err, again)
			}
			if name := strings.TrimSuffix(got.stdout, " is up to date\n"); printed["status"] != "up to date" || printed["database"] != name {
				t.Errorf("printed %v, want database %s", printed, name)
			}
			if strings.Contains(got.stdout+got.stderr+again.stdout, ":katib@") {
				t.Errorf("it tells the password: %v, %v", got, again)
			}
		})
	}
}

func TestMigrateByKatibsVariables(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue // Katib has none
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			db := database.Fresh(t)
			if got := katibStreamWith(t, katibEnv(t, db), "", "migrate"); got.status != statusOK {
				t.Fatal(got)
			}
			if found := query(t, db, "SELECT COUNT(*) FROM observation_logs"); len(found) != 1 {
				t.Error("there is no table observation_logs")
			}
			env := katibEnv(t, db)
			env["DB_PASSWORD"] = secret
			failsWith(t, katibStreamWith(t, env, "", "migrate"), statusError, "katib-stream: migrate ", "check --db, or Katib's variables DB_NAME, DB_USER, DB_PASSWORD")
			failsWith(t, katibStream(t, "migrate", "--db", withPassword(t, db, secret)), statusError, "katib-stream: migrate ", "check --db")
		})
	}
}

// badDatabases are what no command takes for a database.
var badDatabases = map[string]struct {
	url  string
	env  map[string]string
	says string
}{
	"none":                     {says: "choose the database with --db or Katib's variables: no database is given; set DB_NAME to mysql or postgres"},
	"one that Katib lacks":     {env: map[string]string{"DB_NAME": "oracle"}, says: `DB_NAME is "oracle"; Katib knows mysql and postgres`},
	"no scheme":                {url: "katib.db", says: "the database URL has no scheme"},
	"an unknown scheme":        {url: "oracle://me:" + secret + "@h/katib", says: `unknown database "oracle"; write mysql://…, postgres://… or sqlite:PATH`},
	"no file":                  {url: "sqlite:", says: "sqlite:PATH needs the path of a file"},
	"no database":              {url: "mysql://me:" + secret + "@h", says: "lacks a host or the database's name"},
	"no host":                  {url: "postgres://me:" + secret + "@/katib", says: "lacks a host or the database's name"},
	"a password with a slash":  {url: "mysql://me:" + secret + "/x@h/katib", says: "the database URL"},
	"a password with %":        {url: "postgres://me:" + secret + "%x@h/katib", says: "characters like '@', '/', '#' and '%' in a password are written"},
	"a port that is no number": {url: "mysql://me:" + secret + "@h:port/katib", says: "the database URL"},
}

func TestBadDatabases(t *testing.T) {
	t.Parallel()
	for name, tt := range badDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"migrate", "consumer"} {
				failsWith(t, katibStreamWith(t, tt.env, "", command, "--db", tt.url), statusUsage, "katib-stream: "+command+": ", tt.says)
			}
		})
	}
}

func TestMigrateSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ url, says string }{
		"no folder":              {"sqlite:" + filepath.Join(folder, "none", "katib.db"), "no such file or directory"},
		"a folder for a file":    {"sqlite:" + folder, "sqlite:" + folder},
		"another file":           {"sqlite:" + text, "file is not a database"},
		"nobody is at MySQL's":   {"mysql://me:" + secret + "@" + freeAddress(t) + "/katib", "connection refused"},
		"nobody is at Postgres'": {"postgres://me:" + secret + "@" + freeAddress(t) + "/katib", "connection refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStream(t, "migrate", "--db", tt.url), statusError, "katib-stream: migrate ", tt.says, "check --db")
		})
	}
}
