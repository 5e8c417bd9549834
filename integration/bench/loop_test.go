package bench

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// The bare loop: what the rows cost when nothing is asked but to insert them, a transaction a statement.

const points = 1_000_000

type loop struct {
	prepared    bool
	rows, conns int
}

func (l loop) String() string {
	how := "interpolated"
	if l.prepared {
		how = "prepared"
	}
	return fmt.Sprintf("%s, %d rows, %d connections", how, l.rows, l.conns)
}

// bestLoop runs every kind of loop over a fresh database and returns the best, in rows per second; 0 when none was run.
func bestLoop(b *testing.B, database testserver.Database) (best float64) {
	b.Helper()
	for _, prepared := range []bool{true, false} {
		for _, rows := range []int{100, 1_000, 5_000} {
			for _, conns := range []int{1, 4} {
				l := loop{prepared, rows, conns}
				b.Run("bare loop, "+l.String(), func(b *testing.B) {
					rate := l.run(b, database.Name, database.Fresh(b))
					report(b, rate, 0)
					best = max(best, rate)
				})
			}
		}
	}
	return best
}

func (l loop) run(b *testing.B, database, url string) float64 {
	db := open(b, url)
	defer db.Close()
	db.SQL().SetMaxOpenConns(l.conns)
	db.SQL().SetMaxIdleConns(l.conns)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(b.Context())
	begin := time.Now()
	for range l.conns {
		group.Go(func() error { return l.insert(ctx, database, db.SQL(), &next) })
	}
	if err := group.Wait(); err != nil {
		b.Fatalf("%s: %v", l, err)
	}
	took := time.Since(begin)
	var count int
	if err := db.SQL().QueryRowContext(b.Context(), "SELECT COUNT(*) FROM observation_logs").Scan(&count); err != nil || count != points {
		b.Fatalf("%s: %d rows, %v; want %d", l, count, err, points)
	}
	return points / took.Seconds()
}

// insert takes pieces of the points until none is left.
func (l loop) insert(ctx context.Context, database string, db *sql.DB, next *atomic.Int64) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	statement, err := conn.PrepareContext(ctx, l.statement(database))
	if err != nil {
		return err
	}
	defer statement.Close()
	args := make([]any, 0, 4*l.rows)
	for {
		from := int(next.Add(int64(l.rows))) - l.rows
		if from >= points {
			return nil
		}
		if l.prepared {
			args = args[:0]
			for i := from; i < from+l.rows; i++ {
				args = append(args, trial(i), at(i).Format(timeText), metric, value(i))
			}
			_, err = statement.ExecContext(ctx, args...)
		} else {
			_, err = conn.ExecContext(ctx, interpolated(from, l.rows))
		}
		if err != nil {
			return err
		}
	}
}

const insertInto = "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES "

func (l loop) statement(database string) string {
	var sb strings.Builder
	sb.WriteString(insertInto)
	for i := range l.rows {
		if i > 0 {
			sb.WriteByte(',')
		}
		if database == "postgres" {
			// The text of the time is cast by the server, as a client that sends text has it.
			fmt.Fprintf(&sb, "($%d,$%d::text::timestamp,$%d,$%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		} else {
			sb.WriteString("(?,?,?,?)")
		}
	}
	return sb.String()
}

func interpolated(from, rows int) string {
	text := make([]byte, 0, 80*rows)
	text = append(text, insertInto...)
	for i := from; i < from+rows; i++ {
		if i > from {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "('%s','", trial(i))
		text = at(i).AppendFormat(text, timeText)
		text = fmt.Appendf(text, "','%s','%s')", metric, value(i))
	}
	return string(text)
}

func open(b testing.TB, url string) *katibdb.DB {
	b.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	db, err := katibdb.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return db
}
