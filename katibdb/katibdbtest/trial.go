package katibdbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func namespaces(t *testing.T, url string) {
	db := migrated(t, url)
	unknown := numbered(schema.NamespaceUnknown, "trial", "grpc", 1)
	persist(t, db, "P", unknown) // binds nothing
	mine, foreign := message(1), numbered("foreign", "trial", "p", 1)
	persist(t, db, "PF", mine, foreign)
	persist(t, db, "F", foreign)
	persist(t, db, "P", numbered(schema.NamespaceUnknown, "trial", "grpc", 2))

	// A foreign tenant with the same producer id: neither its messages nor its dead letters use the real numbers up.
	dead := numbered("foreign", "trial", "p", 2)
	dead.Dead = true
	persist(t, db, "PF", dead, numbered("foreign", "trial", "p", 1))
	persist(t, db, "PPD", message(2), message(3), dead)
	wantValues(t, db, "trial", "1", "1", "2", "2", "3")
	wantNumber(t, db, 3, "SELECT watermark FROM stream_producers WHERE namespace = 'team'")
	wantNumber(t, db, 1, "SELECT COUNT(*) FROM stream_trials WHERE trial_name = 'trial' AND namespace = 'team'")

	// The deletion ends the binding.
	deleteTrial(t, db, "trial", 3)
	after := numbered("foreign", "trial", "new", 9)
	persist(t, db, "P", after)
	persist(t, db, "F", numbered("team", "trial", "newer", 9))
}

func unbinding(t *testing.T, url string) {
	db := migrated(t, url)
	foreign := numbered("foreign", "trial", "q", 1)
	persist(t, db, "PF", message(1), foreign)
	if err := db.Unbind(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	persist(t, db, "F", foreign)
	if err := db.Unbind(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	persist(t, db, "PF", foreign, message(2))
}

func deadLetters(t *testing.T, url string) {
	db := migrated(t, url)
	dead := message(2)
	dead.Dead = true
	persist(t, db, "P", dead)
	persist(t, db, "DPDP", messages(2, 1, 2, 3)...)
	wantValues(t, db, "trial", "1", "3")
	wantNumber(t, db, 3, watermark)
	wantNumber(t, db, 1, "SELECT COUNT(*) FROM stream_receipts WHERE dead") // stays, below the watermark, too
	wantNumber(t, db, 1, "SELECT dead FROM stream_producers")

	nowhere := katibdb.Message{Message: schema.Message{Identity: schema.IdentityOf("", "", epoch, 9)}, Epoch: epoch, Sequence: 9, Dead: true}
	persist(t, db, "PD", nowhere, nowhere)
	persist(t, db, "D", nowhere)
	other := opaque("mine", 10)
	other.Dead = true
	persist(t, db, "P", other)
	persist(t, db, "D", opaque("mine", 11))
	wantValues(t, db, "trial", "1", "3")
	// A dead letter binds nothing.
	bad := numbered("foreign", "other-trial", "p", 1)
	bad.Dead = true
	persist(t, db, "P", bad)
	persist(t, db, "P", numbered("team", "other-trial", "p", 1))
	// What is dead is settled.
	if n, err := db.FirstUnpersisted(t.Context(), []katibdb.Ref{ref(dead), ref(nowhere), ref(other)}); n != 3 || err != nil {
		t.Fatalf("FirstUnpersisted of dead letters: %d, %v", n, err)
	}
}

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
	err := db.DeleteTrial(t.Context(), "trial", epoch, func(context.Context) (uint64, error) { return 0, failed })
	if !errors.Is(err, failed) {
		t.Fatalf("the stream's error is lost: %v", err)
	}
	wantValues(t, db, "trial", "1", "2", "12")
	deleteTrial(t, db, "never-seen", 11)
	persist(t, db, "X", numbered("team", "never-seen", "p", 11))
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

func firstUnpersisted(t *testing.T, url string) {
	db := migrated(t, url)
	dead := message(5)
	dead.Dead = true
	gone := numbered("team", "gone", "p", 3)
	persist(t, db, "PPPPP", message(1), message(3), dead, opaque("mine", 6), gone)
	deleteTrial(t, db, "gone", 8)
	later := numbered("team", "gone", "new", 9)
	for _, c := range []struct {
		name string
		refs []katibdb.Message
		want int
	}{
		{"none", nil, 0},
		{"watermark", messages(1), 1},
		{"receipt", messages(1, 3), 2},
		{"dead", messages(1, 3, 5), 3},
		{"gap", messages(1, 2, 3), 1},
		{"above", messages(1, 3, 5, 6, 7), 3},
		{"opaque", []katibdb.Message{opaque("mine", 6), opaque("other", 7)}, 1},
		{"unknown trial", []katibdb.Message{message(1), numbered("team", "unknown", "p", 1)}, 1},
		{"unknown producer", []katibdb.Message{numbered("team", "trial", "q", 1)}, 0},
		{"another namespace", []katibdb.Message{numbered("foreign", "trial", "p", 1)}, 0},
		{"deleted trial", []katibdb.Message{gone, numbered("team", "gone", "unseen", 8), later}, 2},
	} {
		refs := make([]katibdb.Ref, len(c.refs))
		for i, m := range c.refs {
			refs[i] = ref(m)
		}
		if got, err := db.FirstUnpersisted(t.Context(), refs); got != c.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

func manyRefs(t *testing.T, url string) {
	const many = 10_000
	db := migrated(t, url)
	batch := make([]katibdb.Message, many)
	refs := make([]katibdb.Ref, many)
	for i := range batch {
		batch[i] = numbered("team", "trial", fmt.Sprint("p", i%300), uint64(2+i/300)) // number 1 never comes: all are receipts
		refs[i] = ref(batch[i])
	}
	persist(t, db, strings.Repeat("P", many-1), batch[:many-1]...)
	if got, err := db.FirstUnpersisted(t.Context(), refs); got != many-1 || err != nil {
		t.Fatalf("%d, %v, want %d", got, err, many-1)
	}
}

func forgetting(t *testing.T, url string) {
	db := migrated(t, url)
	elsewhere := opaque("in another stream", 1)
	elsewhere.Epoch = "another epoch"
	dead := message(3)
	dead.Dead = true
	persist(t, db, "PPPPPP", opaque("old", 1), opaque("", 2), opaque("young", 3), elsewhere, dead, message(5))
	if err := db.Forget(t.Context(), epoch, 3); err != nil {
		t.Fatal(err)
	}
	wantNumber(t, db, 4, receipts)
	persist(t, db, "DDDD", opaque("young", 3), elsewhere, dead, message(5))

	// More than are deleted at a time.
	const many = 2_300
	batch := make([]katibdb.Message, many)
	for i := range batch {
		batch[i] = opaque("", uint64(100+i))
	}
	persist(t, db, strings.Repeat("P", many), batch...)
	if err := db.Forget(t.Context(), epoch, 10_000); err != nil {
		t.Fatal(err)
	}
	wantNumber(t, db, 3, receipts)
}
