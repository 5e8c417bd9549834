package katibdbtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// race deletes a trial again and again while two processes persist its messages: what is from before a deletion is
// never there after it, and what is from after is, once.
type race struct {
	*testing.T
	one, two *katibdb.DB
	stored   atomic.Uint64 // the stream's last sequence
	rounds   atomic.Int64
	most     int64
	ends     time.Time
}

const (
	raceRounds = 10_000
	raceTime   = 40 * time.Second // on a slow machine there are fewer rounds
	raceTrials = 8
	hang       = 30 * time.Second

	raceDeletions = 25 // of one trial
)

func deletionRace(t *testing.T, url string) {
	r := &race{T: t, one: migrated(t, url), most: raceRounds, ends: time.Now().Add(raceTime)}
	if testing.Short() {
		r.most /= 20
	}
	r.two = r.one
	if kind(url) != "sqlite" { // whose file processes wait for with pauses
		r.two = migrated(t, url)
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range raceTrials {
		wg.Go(func() { (&runner{race: r, name: fmt.Sprint("trial-", i)}).run() })
	}
	wg.Wait()
	t.Logf("%d rounds in %v", min(r.rounds.Load(), r.most), time.Since(begin).Round(time.Millisecond))
	if r.rounds.Load() < raceTrials {
		t.Error("there was no race")
	}
	if kind(url) == "postgres" { // it alone counts them by database
		wantNumber(t, r.one, 0, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
	}
}

// runner races for one trial at a time.
type runner struct {
	*race
	name, trial string
	round       int
	met         string // a producer that the database knows since before the deletion
}

func (r *runner) run() {
	for !r.Failed() && time.Now().Before(r.ends) && r.rounds.Add(1) <= r.most {
		if r.trial = fmt.Sprintf("%s-%d", r.name, r.round/raceDeletions); r.round%raceDeletions == 0 {
			r.met = ""
		}
		r.round++
		r.once()
	}
}

// store gives a message its place in the stream.
func (r *runner) store(producer string, number uint64) katibdb.Message {
	m := numbered("team", r.trial, producer, number)
	m.Sequence = r.stored.Add(1)
	m.Time = time.Now()
	m.Events[0].Metrics[0].Value = fmt.Sprint(m.Sequence)
	return m
}

func (r *runner) once() {
	id := fmt.Sprint(r.round)
	first, second, shared := r.store(id, 1), r.store(id, 2), r.loose()
	earlier := r.store("earlier-"+id, 1) // in a worker's hand since before the stream was made anew
	earlier.Epoch = "earlier epoch"
	var during, unseen, loose katibdb.Message
	var wg sync.WaitGroup
	wg.Go(func() {
		during, unseen = r.store(id, 3), r.store("unseen-"+id, 1)
		r.persist(r.one, second, first, earlier, shared, during, unseen)
	})
	wg.Go(func() {
		loose = r.loose()
		r.persist(r.two, loose, shared)
	})
	wg.Go(r.delete)
	wg.Wait()
	all := []katibdb.Message{first, second, shared, earlier, during, unseen, loose}
	again := append(all[:6:6], r.store(bornAnHourAgo(r.round), 1)) // the last would come back if it had been lost
	if r.met != "" {
		again = append(again, r.store(r.met, 9))
	}
	r.persist(r.two, again...)
	r.check(all)
	r.met = id
}

// loose is a message without a number.
func (r *runner) loose() katibdb.Message {
	m := r.store("", 0)
	m.Identity = schema.IdentityOf("", "", epoch, m.Sequence)
	return m
}

// bornAnHourAgo is the id of a library's producer, whose spool comes only now.
func bornAnHourAgo(n int) string {
	return fmt.Sprintf("%012x7%03x8def%012x", time.Now().Add(-time.Hour).UnixMilli(), n%4096, n)
}

func (r *runner) persist(db *katibdb.DB, batch ...katibdb.Message) {
	ctx, cancel := context.WithTimeout(r.Context(), hang)
	defer cancel()
	if _, err := db.Persist(ctx, batch); err != nil {
		r.Errorf("%s, round %d: %v", r.trial, r.round, err)
	}
}

// delete does without the stream in every fourth round.
func (r *runner) delete() {
	ctx, cancel := context.WithTimeout(r.Context(), hang)
	defer cancel()
	look := func(context.Context) (string, uint64, time.Time, error) {
		last := r.stored.Load()
		time.Sleep(time.Duration(r.round%5) * 100 * time.Microsecond) // the way back from the server
		return epoch, last, time.Now(), nil
	}
	if r.round%4 == 0 {
		look = noStream
	}
	if err := r.one.DeleteTrial(ctx, r.trial, look); err != nil {
		r.Errorf("%s, round %d: %v", r.trial, r.round, err)
	}
}

// check looks for each message's row, and for rows that should not be there. What is from after the deletion is deleted as
// well when its producer was known before.
func (r *runner) check(all []katibdb.Message) {
	trial, err := r.one.Trial(r.Context(), r.trial)
	if err != nil {
		r.Error(err)
		return
	}
	gone := map[string]bool{}
	for _, p := range trial.Producers {
		gone[p.ID] = p.Deleted
	}
	rows := map[string]int{}
	for _, value := range valuesOf(r, r.one, r.trial) {
		rows[value]++
	}
	for i, m := range all {
		before := m.Epoch == trial.DeletedEpoch && m.Sequence <= trial.DeletedSequence
		if m.Epoch != trial.DeletedEpoch {
			before = m.Time.UnixMilli() <= trial.DeletedAt.UnixMilli()
		}
		want := 1
		if before || gone[m.Identity.Source] {
			want = 0
		}
		value := fmt.Sprint(m.Sequence)
		if rows[value] != want {
			r.Errorf("%s, round %d: message %d (%d of the round) has %d rows, want %d", r.trial, r.round, m.Sequence, i, rows[value], want)
		}
		delete(rows, value)
	}
	for value, n := range rows {
		r.Errorf("%s, round %d: %d rows of message %s, which is from before", r.trial, r.round, n, value)
	}
}
