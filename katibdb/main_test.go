package katibdb_test

import (
	"os"
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb/katibdbtest"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

func TestConformance(t *testing.T) {
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			katibdbtest.Run(t, database.Fresh)
		})
	}
}
