package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Inspection is what a database says of itself, for people who look after it. What could not be read is in Unknown, and
// zero otherwise.
type Inspection struct {
	// Version names the product, too.
	Version string
	// Skew is how far the server's clock is ahead of ours, give or take Trip.
	Skew, Trip time.Duration
	// ReadOnly says why the database takes no writes; it is empty when it does. Replica says that it follows another server.
	ReadOnly string
	Replica  bool
	// Settings are those that decide what a commit is worth, and what a statement may hold, by their names.
	Settings map[string]string
	// Connections are open, of MaxConnections for all clients; both are 0 for a file.
	Connections, MaxConnections int
	// Migration is the newest of our migrations that ran, 0 when none did; Newest is the newest that this program has.
	Migration, Newest int64
	// MissingTables are Katib's and ours that do not exist.
	MissingTables []string
	// WrongColumns says in words what is not as Katib makes it in observation_logs, and NarrowText which text it cannot keep.
	WrongColumns, NarrowText []string
	// Indexed says that observation_logs has an index that begins with trial_name.
	Indexed bool
	// LastID of at most MaxID was given to a row. IDsPerDay is how many went lately, 0 when that cannot be told.
	LastID, MaxID uint64
	IDsPerDay     float64
	// Unknown has what could not be read, and why.
	Unknown map[string]error
}

// Inspect reads what the database says of itself. It changes nothing, does not create anything, and also reaches a server
// that takes no writes. An error means that the database could not be reached.
func (db *DB) Inspect(ctx context.Context) (Inspection, error) {
	cfg := db.cfg
	cfg.anyServer = true
	var found Inspection
	err := cfg.Missing()
	if err != nil {
		return found, err
	}
	pool, err := db.dialect.open(cfg)
	if err != nil {
		return found, fmt.Errorf("open database %s: %w", cfg, err)
	}
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return found, fmt.Errorf("reach database %s: %w", cfg, err)
	}
	defer conn.Close()
	// A proxy may take a connection and answer nothing, and a file is only read when it has to be.
	reach := map[kind]string{mysqlKind: "SELECT 1", postgresKind: "SELECT 1", sqliteKind: "PRAGMA schema_version"}[cfg.kind]
	if _, err := conn.ExecContext(ctx, reach); err != nil {
		return found, fmt.Errorf("reach database %s: %w", cfg, err)
	}
	found.Settings, found.Unknown = map[string]string{}, map[string]error{}
	i := &inspector{Inspection: &found, conn: conn, dialect: db.dialect}
	found.Newest, err = newestMigration(db.dialect)
	i.note("the newest migration", err)
	db.dialect.inspect(ctx, i)
	return found, nil
}

// inspector reads over one connection.
type inspector struct {
	*Inspection
	conn    *sql.Conn
	dialect dialect
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (i *inspector) note(what string, err error) {
	if err != nil {
		i.Unknown[what] = err
	}
}

// read reads one value into target, and says whether there is one.
func (i *inspector) read(ctx context.Context, what, query string, target any) bool {
	err := i.conn.QueryRowContext(ctx, query).Scan(target)
	i.note(what, err)
	return err == nil
}

func (i *inspector) setting(ctx context.Context, name, query string) {
	var value string
	if i.read(ctx, name, query, &value) {
		i.Settings[name] = value
	}
}

func (i *inspector) list(ctx context.Context, what, query string) []string {
	found, err := texts(ctx, i.conn, query)
	i.note(what, err)
	return found
}

// texts reads a query's one column.
func texts(ctx context.Context, from querier, query string) ([]string, error) {
	rows, err := from.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}

// clock compares the server's clock with the middle of the round trip that asked for it.
func (i *inspector) clock(ctx context.Context, query string) {
	var there time.Time
	begin := time.Now()
	if !i.read(ctx, "the clock", query, &there) {
		return
	}
	i.Trip = time.Since(begin)
	i.Skew = there.Sub(begin.Add(i.Trip / 2))
}
