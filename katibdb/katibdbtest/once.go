package katibdbtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
)

const (
	producers = "SELECT COUNT(*) FROM stream_producers"
	receipts  = "SELECT COUNT(*) FROM stream_receipts"
	logs      = "SELECT COUNT(*) FROM observation_logs"
	watermark = "SELECT watermark FROM stream_producers"
)

func duplicates(t *testing.T, url string) {
	db := migrated(t, url)
	if outcomes, err := db.Persist(t.Context(), nil); err != nil || len(outcomes) > 0 {
		t.Fatalf("an empty batch gives %v, %v", outcomes, err)
	}
	persist(t, db, "PDP", messages(1, 1, 2)...)
	persist(t, db, "DPD", messages(2, 3, 3)...)
	persist(t, db, "DDD", messages(3, 2, 1)...)
	wantValues(t, db, "trial", "1", "2", "3")
	wantNumber(t, db, 3, "SELECT messages FROM stream_producers")
	wantNumber(t, db, 3, "SELECT events FROM stream_producers")
	wantNumber(t, db, 0, receipts)
}

func anotherProcess(t *testing.T, url string) {
	persist(t, migrated(t, url), "PPP", messages(1, 2, 3)...)
	// Killed before it acknowledged, and started again.
	again := migrated(t, url)
	persist(t, again, "DDDP", messages(1, 2, 3, 4)...)
	wantValues(t, again, "trial", series(4)...)
}

func shuffled(t *testing.T, url string) {
	db := migrated(t, url)
	batch := make([]katibdb.Message, 100)
	for i := range batch {
		batch[i] = message(uint64(i + 1))
	}
	rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	for part := range slices.Chunk(batch, 7) {
		persist(t, db, strings.Repeat("P", len(part)), part...)
		persist(t, db, strings.Repeat("D", len(part)), part...)
	}
	wantValues(t, db, "trial", series(100)...)
	wantNumber(t, db, 100, watermark)
	wantNumber(t, db, 0, receipts)
	wantNumber(t, db, 0, "SELECT receipts FROM stream_producers")
}

func gapFilled(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "PPP", messages(1, 3, 5)...)
	wantNumber(t, db, 1, watermark)
	wantNumber(t, db, 2, receipts)
	persist(t, db, "DD", messages(3, 5)...)
	persist(t, db, "PD", messages(2, 3)...)
	wantNumber(t, db, 3, watermark)
	wantNumber(t, db, 1, receipts)
	persist(t, db, "PPD", messages(4, 6, 5)...)
	wantNumber(t, db, 6, watermark)
	wantNumber(t, db, 0, receipts)

	// More receipts than are read at a time.
	var numbers []uint64
	for n := uint64(8); n < 2_510; n++ {
		numbers = append(numbers, n)
	}
	persist(t, db, strings.Repeat("P", len(numbers)), messages(numbers...)...)
	wantNumber(t, db, len(numbers), receipts)
	persist(t, db, "P", message(7))
	wantNumber(t, db, 2_509, watermark)
	wantNumber(t, db, 0, receipts)
	wantValues(t, db, "trial", series(2_509)...)
}

func finalNumber(t *testing.T, url string) {
	db := migrated(t, url)
	end := message(3)
	end.Final, end.Events = true, nil
	persist(t, db, "PPD", message(1), end, end)
	wantNumber(t, db, 3, "SELECT final_number FROM stream_producers")
	wantNumber(t, db, 1, watermark)
	persist(t, db, "P", message(2))
	wantNumber(t, db, 3, "SELECT final_number FROM stream_producers")
	wantNumber(t, db, 3, watermark)
	wantValues(t, db, "trial", "1", "2")
}

func unnumbered(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "PDPP", opaque("mine", 1), opaque("mine", 2), opaque("other", 3), opaque("", 4))
	persist(t, db, "DDDP", opaque("mine", 11), opaque("other", 12), opaque("", 4), opaque("", 13))
	wantNumber(t, db, 4, receipts)
	wantNumber(t, db, 0, producers)

	// The same id in another trial is another message.
	elsewhere := opaque("mine", 14)
	elsewhere.Subject.Trial = "elsewhere"
	persist(t, db, "P", elsewhere)
	wantValues(t, db, "trial", "1", "3", "4", "13")
	wantValues(t, db, "elsewhere", "14")
}

// workers attacks: redelivery to other workers at once, duplicates, shuffled numbers, calls that are cut off in mid-way.
func workers(t *testing.T, url string) {
	const trials, producersEach, numbers = 6, 2, 40
	db := migrated(t, url)
	var all []katibdb.Message
	for trial := range trials {
		for producer := range producersEach {
			for n := uint64(1); n <= numbers; n++ {
				all = append(all, numbered("team", fmt.Sprintf("trial-%d", trial), fmt.Sprintf("p%d", producer), n))
			}
		}
		for n := uint64(1); n <= numbers; n++ {
			m := opaque(fmt.Sprint("mine-", n%20), n) // each id twice
			m.Subject.Trial = fmt.Sprintf("trial-%d", trial)
			all = append(all, m)
		}
	}
	// Two processes with two workers each.
	var wg sync.WaitGroup
	for _, process := range []*katibdb.DB{db, migrated(t, url)} {
		wg.Go(func() { deliver(t, process, 2, all) })
	}
	wg.Wait()
	for trial := range trials {
		found := valuesOf(t, db, fmt.Sprintf("trial-%d", trial))
		if want := producersEach*numbers + 20; len(found) != want {
			t.Errorf("trial %d has %d rows, want %d", trial, len(found), want)
		}
	}
	wantNumber(t, db, trials*producersEach*numbers, "SELECT SUM(watermark) FROM stream_producers")
	wantNumber(t, db, trials*producersEach*numbers, "SELECT SUM(messages) FROM stream_producers")
	wantNumber(t, db, trials*20, receipts)
}

// deliver gives all messages to each of the workers, in batches and an order of its own, until each was settled there.
func deliver(t *testing.T, db *katibdb.DB, workers int, all []katibdb.Message) {
	t.Helper()
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 42))
			todo := slices.Clone(all)
			random.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
			for len(todo) > 0 {
				size := min(len(todo), 1+random.IntN(40))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				cut := random.IntN(8) == 0
				if cut {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(random.IntN(3_000))*time.Microsecond)
				}
				_, err := db.Persist(ctx, todo[:size])
				cancel()
				switch {
				case err == nil:
					todo = todo[size:]
				case !cut:
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
