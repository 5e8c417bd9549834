package katibdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DB is Katib DB. It is safe for concurrent use.
type DB struct {
	cfg      Config
	pool     *sql.DB
	dialect  dialect
	log      *slog.Logger
	sessions chan *session // places for transactions; nil stands for one that is not connected yet
	known    *known
	closed   chan struct{}
	close    func() error
}

var errClosed = errors.New("the database is closed")

// Open prepares for the database, which need not be reachable yet: Ping and every other call say so when it is not.
// An error means that the configuration is not valid.
func Open(_ context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if cfg.MaxConns < 1 {
		return nil, fmt.Errorf("open database: max connections is %d, less than 1", cfg.MaxConns)
	}
	var d dialect
	switch cfg.kind {
	case mysqlKind:
		d = mysqlDialect{}
	case postgresKind:
		d = postgresDialect{}
	case sqliteKind:
		d = sqliteDialect{}
	default:
		return nil, errors.New("open database: no database is given")
	}
	pool, err := d.open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", cfg, err)
	}
	const others = 8 // for what runs beside the transactions: pings, migrations, reads
	pool.SetMaxOpenConns(cfg.MaxConns + others)
	pool.SetMaxIdleConns(cfg.MaxConns + others)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := &DB{
		cfg: cfg, pool: pool, dialect: d, log: cfg.Logger, sessions: make(chan *session, cfg.MaxConns), known: newKnown(),
		closed: make(chan struct{}),
	}
	db.close = sync.OnceValue(db.closeOnce)
	for range cfg.MaxConns {
		db.sessions <- nil
	}
	return db, nil
}

// SQL returns the pool, for plain SQL on Katib's table. It belongs to the DB, and is closed with it.
func (db *DB) SQL() *sql.DB { return db.pool }

// Ping returns an error unless the database answers.
func (db *DB) Ping(ctx context.Context) error {
	// A driver's own ping may not get further than the server's front door.
	if _, err := db.pool.ExecContext(ctx, "SELECT 1"); err != nil {
		return fmt.Errorf("reach database %s: %w", db.cfg, err)
	}
	return nil
}

// Close waits for transactions under way and closes all connections; calls after it are errors.
func (db *DB) Close() error { return db.close() }

func (db *DB) closeOnce() error {
	close(db.closed)
	for range cap(db.sessions) {
		if s := <-db.sessions; s != nil {
			s.close()
		}
	}
	return db.pool.Close()
}
