package katibdbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
)

func deletion(t *testing.T, url string) {
	db := migrated(t, url)
	neighbour := numbered("team", "trial-2", "p", 1)
	persist(t, db, "PPPPP", message(1), message(3), opaque("mine", 4), neighbour, numbered("team", "Trial", "p", 1))
	deleteTrial(t, db, "trial", 10)
	deleteTrial(t, db, "trial", 10) // repeated
	wantValues(t, db, "trial")
	wantValues(t, db, "trial-2", "1")
	wantValues(t, db, "Trial", "1")
	wantNumber(t, db, 0, receipts)
	wantNumber(t, db, 1, "SELECT COUNT(*) FROM stream_trials WHERE purge_pending AND deleted_sequence = 10 AND deleted_at > 0")

	spooled := message(7) // from a producer that was known, stored after the deletion
	spooled.Sequence = 99
	persist(t, db, "XXXX", message(1), message(2), opaque("mine", 4), spooled)
	unseen := numbered("team", "trial", "unseen", 10)
	persist(t, db, "XX", unseen, opaque("mine too", 9))
	wantValues(t, db, "trial")

	// A new trial of the same name, and the same sequence in a stream that was made anew.
	fresh := numbered("team", "trial", "fresh", 1)
	fresh.Sequence = 11
	anew := numbered("team", "trial", "anew", 2)
	anew.Epoch = "another epoch"
	persist(t, db, "PPP", fresh, anew, opaque("mine", 12))
	persist(t, db, "D", fresh)
	wantValues(t, db, "trial", "1", "2", "12")

	failed := errors.New("the stream is away")
	err := db.DeleteTrial(t.Context(), "trial", func(context.Context) (string, uint64, time.Time, error) { return "", 0, time.Time{}, failed })
	if !errors.Is(err, failed) {
		t.Fatalf("the stream's error is lost: %v", err)
	}
	wantValues(t, db, "trial", "1", "2", "12")
	deleteTrial(t, db, "never-seen", 11)
	persist(t, db, "X", numbered("team", "never-seen", "p", 11))
}

func noStream(context.Context) (string, uint64, time.Time, error) {
	return "", 0, time.Time{}, fmt.Errorf("ask the server: %w", katibdb.ErrNoStream)
}

// storedAt is a message that the stream stored then.
func storedAt(m katibdb.Message, at time.Time) katibdb.Message {
	m.Time = at
	return m
}

func deletionWithoutStream(t *testing.T, url string) {
	db := migrated(t, url)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	persist(t, db, "PP", message(1), opaque("mine", 2))
	if err := db.DeleteTrial(t.Context(), "trial", noStream); err != nil {
		t.Fatal(err)
	}
	wantValues(t, db, "trial")
	trial, err := db.Trial(t.Context(), "trial")
	if age := time.Since(trial.DeletedAt); err != nil || trial.DeletedEpoch != "" || trial.DeletedSequence != 0 || age < 0 || age > time.Minute {
		t.Fatalf("%+v, %v", trial, err)
	}
	unseen := func(id string) katibdb.Message { return numbered("team", "trial", id, 1) }
	persist(t, db, "XXXX", message(2), storedAt(opaque("mine", 2), past), storedAt(unseen("a"), past), storedAt(unseen("b"), trial.DeletedAt))
	persist(t, db, "PPP", storedAt(unseen("c"), future), storedAt(opaque("other", 5), future), unseen("at an unknown time"))
	wantPersisted(t, db, "1101", storedAt(unseen("a"), past), storedAt(opaque("third", 7), past), storedAt(unseen("d"), future), unseen("c"))

	// With the stream back it is deleted again.
	deleteTrial(t, db, "trial", 20)
	wantValues(t, db, "trial")
	persist(t, db, "XX", numbered("team", "trial", "e", 20), unseen("c"))
}

// secondDeletion is that of a new trial of the same name.
func secondDeletion(t *testing.T, url string) {
	db := migrated(t, url)
	first, second, third := numbered("team", "trial", "p1", 1), numbered("team-2", "trial", "p2", 11), numbered("team-3", "trial", "p5", 21)
	persist(t, db, "P", first)
	deleteTrial(t, db, "trial", 10)
	persist(t, db, "PPF", second, numbered("team-2", "trial", "p2", 13), numbered("team-3", "trial", "p3", 14))
	deleteTrial(t, db, "trial", 20)
	wantValues(t, db, "trial")
	wantNumber(t, db, 0, receipts)
	late := numbered("team-2", "trial", "p2", 99)
	persist(t, db, "XXXX", first, second, late, numbered("team-3", "trial", "p3", 14))
	persist(t, db, "PF", third, numbered("team-2", "trial", "p4", 22))
	wantValues(t, db, "trial", "21")
	// What the first deletion knew is not lost when the stream is away.
	if err := db.DeleteTrial(t.Context(), "trial", noStream); err != nil {
		t.Fatal(err)
	}
	persist(t, db, "XXXX", first, second, third, storedAt(numbered("team", "trial", "unseen", 9), time.Now().Add(-time.Hour)))
	wantValues(t, db, "trial")
}

// lateSpool comes a day later, from a producer that the database has never seen.
func lateSpool(t *testing.T, url string) {
	db := migrated(t, url)
	id := func(at time.Time) string { return fmt.Sprintf("%012x7abc8def0123456789ab", at.UnixMilli()) }
	at := time.Now()
	deleteAt(t, db, "trial", epoch, 10, at)
	tomorrow := at.Add(24 * time.Hour)
	spooled := storedAt(numbered("team", "trial", id(at.Add(-2*time.Minute)), 1_000), tomorrow)
	fresh := storedAt(numbered("team", "trial", id(at.Add(-10*time.Second)), 1_001), tomorrow)
	wantPersisted(t, db, "10", spooled, fresh)
	persist(t, db, "XP", spooled, fresh)
	spooled.Epoch, spooled.Dead = "another epoch", true
	persist(t, db, "X", spooled)
	elsewhere := spooled
	elsewhere.Subject.Trial, elsewhere.Dead = "another-trial", false
	persist(t, db, "P", elsewhere)
	wantValues(t, db, "trial", "1001")
}

func purges(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	wantPurges(t, db)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	deleteAt(t, db, "z", epoch, 10, now)
	deleteAt(t, db, "trial", epoch, 12, later)
	z, trial := katibdb.Purge{Trial: "z", DeletedAt: now, Epoch: epoch, Sequence: 10}, katibdb.Purge{Trial: "trial", DeletedAt: later, Epoch: epoch, Sequence: 12}
	wantPurges(t, db, z, trial)
	done(t, db, z)
	wantPurges(t, db, trial)
	// The stream got nothing since.
	deleteAt(t, db, "z", epoch, 10, later)
	wantPurges(t, db, trial)
	// It got something, while the first purge was under way.
	deleteAt(t, db, "trial", epoch, 13, later)
	done(t, db, trial)
	trial.Sequence = 13
	wantPurges(t, db, trial)
	deleteAt(t, db, "trial", "another epoch", 13, later)
	done(t, db, trial)
	trial.Epoch = "another epoch"
	wantPurges(t, db, trial)
	done(t, db, trial)
	wantPurges(t, db)
	done(t, db, trial)
	if err := db.DeleteTrial(t.Context(), "z", noStream); err != nil {
		t.Fatal(err)
	}
	blind, err := db.PendingPurges(t.Context())
	if err != nil || len(blind) != 1 || blind[0].Epoch != "" || blind[0].DeletedAt.Before(later) && time.Since(blind[0].DeletedAt) > time.Minute {
		t.Fatalf("%+v, %v", blind, err)
	}
	done(t, db, blind[0])
	wantPurges(t, db)
}

func done(t testing.TB, db *katibdb.DB, p katibdb.Purge) {
	t.Helper()
	if err := db.PurgeDone(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func wantPurges(t testing.TB, db *katibdb.DB, want ...katibdb.Purge) {
	t.Helper()
	got, err := db.PendingPurges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("purges %+v, want %+v", got, want)
	}
}

// katibsTrials have rows under names that no message can have, like one of ours but for what MySQL compares as equal.
func katibsTrials(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	for _, name := range []string{"tríal", "trial ", "TRIAL"} {
		exec(t, db, "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('"+name+"', '2026-11-24 12:00:00', 'loss', '1')")
	}
	for i, name := range []string{"tríal", "trial ", "TRIAL", strings.Repeat("n", 1_000)} {
		deleteTrial(t, db, name, 10)
		wantNumber(t, db, max(1, 3-i), logs)
	}
	wantValues(t, db, "trial", "1")
	persist(t, db, "DP", messages(1, 2)...)
}

// deletionAndWorkers deletes a trial while workers deliver its messages: none of them comes back.
func deletionAndWorkers(t *testing.T, url string) {
	const numbers = 120
	db := migrated(t, url)
	var all []katibdb.Message
	for n := uint64(1); n <= numbers; n++ {
		all = append(all, message(n), numbered("team", "other", "p", n))
	}
	var wg sync.WaitGroup
	wg.Go(func() { deliver(t, db, 3, all) })
	deleteTrial(t, db, "trial", numbers)
	wg.Wait()
	deliver(t, db, 1, all)
	wantValues(t, db, "trial")
	wantValues(t, db, "other", series(numbers)...)
}

func rowGone(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	exec(t, db, "DELETE FROM stream_trials")
	exec(t, db, "DELETE FROM stream_producers")
	persist(t, db, "P", message(2))
	exec(t, db, "DELETE FROM stream_trials")
	deleteTrial(t, db, "trial", 5)
	wantValues(t, db, "trial")
	persist(t, db, "X", message(3))
}
