package katibdb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// TestSQLiteIsOneFileAfterClose persists a message, closes, and looks whether the file alone holds everything.
func TestSQLiteIsOneFileAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "katib.db")
	cfg, err := katibdb.ParseURL("sqlite:" + path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := katibdb.Message{Message: schema.Message{
		Subject:  schema.Subject{Namespace: "default", Trial: "t", Producer: "me"},
		Identity: schema.Identity{Source: "me", Number: 1},
		Events:   []schema.Event{{Metrics: []schema.Metric{schema.Number("loss", 1)}}},
	}}
	if _, err := db.Persist(t.Context(), []katibdb.Message{message}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("%d bytes are still in the log beside the file", info.Size())
	}
}
