package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

func databaseFaults(top topology) []fault {
	all := []fault{
		{name: "database killed in mid-transaction", run: killDatabase},
		{name: "database restarted", run: restartDatabase},
		{name: "database stopped and continued", run: pauseDatabase},
		{name: "database read-only", run: beset(func(l *workload) func() { return l.server.ReadOnly(l) })},
		{name: "database out of connections", run: beset(func(l *workload) func() { return l.server.OutOfConnections(l) })},
		{name: "deadlocks", run: deadlocks},
		{name: "answers of commits lost", run: loseCommits},
	}
	if top.database == "postgres" {
		// An InnoDB whose one file is full ends itself now and then, and with its file full it does not start again.
		all = append(all, fault{name: "database full", run: beset(func(l *workload) func() { return l.server.Full(l) })})
	}
	for i := range all {
		all[i].group = "database"
	}
	return all
}

const retries = "katib_stream_commit_retries_total"

// retried waits until the consumers have failed to commit since, for as long as they may wait between two tries.
func retried(ctx context.Context, l *workload, before float64) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	evidence := ""
	poll(ctx, 100*time.Millisecond, func(context.Context) bool {
		evidence = grown(l, retries, before, "commits failed")
		return evidence != ""
	})
	return evidence
}

// beset brings about what ends only when it is told to.
func beset(begin func(*workload) func()) func(context.Context, *workload, *rand.Rand) (string, error) {
	return func(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
		before := l.metrics.total(retries)
		end := begin(l)
		sleep(ctx, between(r, time.Second, 3*time.Second))
		evidence := retried(ctx, l, before)
		end()
		return evidence, nil
	}
}

func killDatabase(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	before := l.metrics.total(retries)
	l.underWay(ctx)
	l.server.Kill()
	sleep(ctx, between(r, 500*time.Millisecond, 2*time.Second))
	evidence := retried(ctx, l, before)
	l.server.Start()
	return evidence, nil
}

// underWay waits until a transaction is.
func (l *workload) underWay(ctx context.Context) {
	query := l.server.Either("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0",
		"SELECT COUNT(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL")
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	poll(ctx, 0, func(ctx context.Context) bool {
		count := 0
		return l.sql.QueryRowContext(ctx, query).Scan(&count) == nil && count > 0
	})
}

func restartDatabase(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	before := l.metrics.total(retries)
	l.server.Stop()
	sleep(ctx, between(r, 0, time.Second))
	evidence := retried(ctx, l, before)
	l.server.Start()
	return evidence, nil
}

func pauseDatabase(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	l.underWay(ctx)
	before := l.metrics.total(retries)
	l.server.Pause()
	sleep(ctx, between(r, 4*time.Second, 6*time.Second)) // longer than a commit may take
	evidence := retried(ctx, l, before)
	l.server.Resume()
	return evidence, nil
}

// deadlocks locks the trials' rows in the wrong order.
func deadlocks(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	count := func() (n int) {
		query := l.server.Either("SELECT VARIABLE_VALUE FROM information_schema.global_status WHERE VARIABLE_NAME = 'Innodb_deadlocks'",
			"SELECT SUM(deadlocks) FROM pg_stat_database")
		_ = l.sql.QueryRowContext(ctx, query).Scan(&n)
		return n
	}
	before := count()
	limited, cancel := context.WithTimeout(ctx, 25*time.Second)
	defer cancel()
	until := time.Now().Add(between(r, 2*time.Second, 4*time.Second))
	var rivals sync.WaitGroup
	for range 2 {
		rivals.Go(func() {
			for limited.Err() == nil && (time.Now().Before(until) || count() == before) {
				l.lockBackwards(limited)
			}
		})
	}
	rivals.Wait()
	if n := count() - before; n > 0 {
		return fmt.Sprintf("%d deadlocks", n), nil
	}
	return "", nil
}

func (l *workload) lockBackwards(ctx context.Context) {
	tx, err := l.sql.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()
	for _, trial := range []string{"scrambled", "py-b", "py-a", "go-memory", "go-b", "go-a"} {
		if _, err := tx.ExecContext(ctx, "SELECT 1 FROM stream_trials WHERE trial_name = '"+trial+"' FOR UPDATE"); err != nil {
			return
		}
		sleep(ctx, 5*time.Millisecond)
	}
}

// loseCommits carries commits out and cuts the connection before they are answered.
func loseCommits(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	hop := l.links["consumers-database"][0].hop
	duplicates := `katib_stream_messages_total{outcome="duplicate"}`
	lost, before := hop.lost.Load(), l.metrics.total(duplicates)
	hop.loseCommits.Store(int64(1 + r.IntN(5)))
	limited, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	evidence := ""
	poll(limited, 100*time.Millisecond, func(context.Context) bool {
		evidence = grown(l, duplicates, before, "messages turned out to be persisted already")
		return hop.lost.Load() > lost && evidence != ""
	})
	hop.loseCommits.Store(0)
	return evidence, nil
}
