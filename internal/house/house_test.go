package house

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/katib-stream/katib-stream/"

// allowed says, for every package, which packages of this module it may import: the rooms above it on an event's way.
// Packages under cmd and integration, and tests, may import anything.
var allowed = map[string][]string{
	"schema":               {},
	"producer":             {"schema", "internal/flushclient", "internal/spool"},
	"katibdb":              {"schema"},
	"katibdb/katibdbtest":  {"schema", "katibdb"},
	"consumer":             {"schema", "katibdb", "internal/pull"},
	"barrier":              {"schema", "katibdb", "internal/pull"},
	"flush":                {"schema", "barrier"},
	"internal/pull":        {"schema"},
	"internal/spool":       {},
	"dbmanager":            {"schema", "katibdb", "barrier", "dbmanager/katibapi"},
	"dbmanager/katibapi":   {},
	"examples/digits":      {"schema", "producer"},
	"internal/child":       {},
	"internal/cli":         {},
	"internal/deadletter":  {"schema", "internal/flushclient"},
	"internal/doctor":      {"schema", "katibdb", "consumer", "flush", "internal/natsconn"},
	"internal/embedded":    {},
	"internal/flushclient": {"schema"},
	"internal/metricline":  {"schema"},
	"internal/natsconn":    {},
	"internal/house":       {},
	"internal/rank":        {},
	"internal/testserver":  {},
}

// drivers are the packages that only katibdb, and the servers for tests, may import.
var drivers = []string{"github.com/go-sql-driver/mysql", "github.com/jackc/pgx", "modernc.org/sqlite"}

func TestImports(t *testing.T) {
	for name, imports := range packages(t) {
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "integration") {
			continue
		}
		rooms, known := allowed[name]
		if !known {
			t.Errorf("package %s has no place in the house: give it one in this test and in ARCHITECTURE.md", name)
			continue
		}
		for _, path := range imports {
			if room, ours := strings.CutPrefix(path, module); ours && !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s, which is not above it", name, room)
			}
			if isDriver(path) && name != "katibdb" && name != "internal/testserver" {
				t.Errorf("%s imports the SQL driver %s; only katibdb may", name, path)
			}
			if name == "schema" && strings.Contains(path, ".") {
				t.Errorf("schema imports %s; it may only import the standard library", path)
			}
		}
	}
}

func isDriver(path string) bool {
	return slices.ContainsFunc(drivers, func(driver string) bool { return strings.HasPrefix(path, driver) })
}

// packages lists the imports, without those of tests, of every package of this module.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	command := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		found[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	return found
}
