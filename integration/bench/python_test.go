package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// BenchmarkPython reports from Python, with our SDK and with Katib's own, into the same MariaDB, behind our db-manager:
// the time that a report keeps the training thread, and the time until everything is in the database.
func BenchmarkPython(b *testing.B) {
	database := realDatabases(b)[0]
	for _, count := range []int{100, 10_000} {
		for _, sdk := range []string{"katib", "ours"} {
			b.Run(fmt.Sprintf("%s/%d calls/%s", database.Name, count, sdk), func(b *testing.B) {
				measurePython(b, database, sdk, "calls", count)
			})
		}
	}
	b.Run(database.Name+"/as fast as it goes/ours", func(b *testing.B) { measurePython(b, database, "ours", "sustained", 5) })
	b.Run(database.Name+"/1000 a second/ours", func(b *testing.B) { measurePython(b, database, "ours", "share", 10) })
}

// measurePython runs measure.py beside a consumer and a db-manager, and reports its figures.
func measurePython(b *testing.B, database testserver.Database, sdk, what string, count int) {
	b.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		b.Fatal(err)
	}
	db := open(b, database.Fresh(b))
	defer db.Close()
	nats := testserver.NATS(b)
	address := serveKatib(b, connect(b, nats.URL()), db)
	command := exec.CommandContext(b.Context(), python, "python/measure.py", sdk, address, what, fmt.Sprint(count))
	command.Env = append(os.Environ(), "KATIB_TRIAL_NAME=my-trial", "KATIB_STREAM_SERVERS="+nats.URL(), "KATIB_STREAM_SPOOL="+b.TempDir())
	command.Stderr = b.Output()
	out, err := command.Output()
	if err != nil {
		b.Fatal(err)
	}
	var figures map[string]float64
	if err := json.Unmarshal(out, &figures); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.ReportMetric(0, "ns/op") // says nothing here
	for name, value := range figures {
		b.ReportMetric(value, name)
	}
}
