package katibdb

import (
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// TestServersEndAbandonedTransactions looks for the setting by which a server ends the session of a client whose machine
// is gone. To wait for it would take minutes.
func TestServersEndAbandonedTransactions(t *testing.T) {
	settings := map[kind]struct{ query, want string }{
		mysqlKind:    {"SELECT @@SESSION.wait_timeout", "120"},
		postgresKind: {"SHOW idle_in_transaction_session_timeout", "2min"},
	}
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			cfg, err := ParseURL(database.Fresh(t))
			if err != nil {
				t.Fatal(err)
			}
			setting, ok := settings[cfg.kind]
			if !ok {
				return // a file has no such clients
			}
			db, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			s, err := db.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer db.release(s, true)
			var got string
			if err := s.conn.QueryRowContext(t.Context(), setting.query).Scan(&got); err != nil || got != setting.want {
				t.Errorf("got %s, %v; want %s", got, err, setting.want)
			}
		})
	}
}
