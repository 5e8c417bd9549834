package katibdbtest

import (
	"fmt"
	"slices"
	"strings"
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
	wantPersisted(t, db, "111", dead, nowhere, other)
	for _, c := range []struct {
		message katibdb.Message
		want    bool
	}{{dead, true}, {message(1), false}, {message(9), false}, {other, true}, {numbered("foreign", "trial", "p", 2), false}} {
		if got, err := db.Dead(t.Context(), ref(c.message)); got != c.want || err != nil {
			t.Errorf("message %+v is dead: %v, %v", c.message.Identity, got, err)
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
	got, err := db.Persisted(t.Context(), refs)
	if err != nil || len(got) != many || slices.Index(got, false) != many-1 {
		t.Fatalf("%d answers, %v; the first unpersisted is %d, want %d", len(got), err, slices.Index(got, false), many-1)
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
