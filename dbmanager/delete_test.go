package dbmanager

import (
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc/codes"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/schema"
)

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	before := w.held()[0]
	w.delete()
	w.wants()
	w.delete()

	// The same message once more: late, and under a new sequence.
	stream, err := w.js.Stream(t.Context(), schema.Stream)
	w.must(err)
	w.must(stream.Purge(t.Context()))
	_, err = w.js.PublishMsg(t.Context(), &nats.Msg{Subject: before.Subject, Header: nats.Header{"Nats-Msg-Id": {before.Header.Get("Nats-Msg-Id") + "0"}}, Data: before.Data})
	w.must(err)
	w.wants()

	w.must(w.report(w.within(patience), entry(noon, "loss", "2"))) // a new trial of the same name
	w.wants(noon + " loss=2")
}

func TestDeleteWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	reported := make(chan error)
	go func() { reported <- w.report(w.within(patience), entry(noon, "loss", "1")) }()
	w.eventually("it is stored", func() bool { return len(w.held()) == 1 })
	w.delete()
	w.must(<-reported) // there is nothing left to wait for, also without a consumer
	w.consume()
	w.wants()
}

func TestDeleteWithoutNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	stop := w.consume()
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	stop()
	w.nats.Stop()
	w.delete()
	rows, err := w.db.Rows(t.Context(), trial)
	w.must(err)
	if len(rows) != 0 {
		t.Errorf("the database has %v", rows)
	}
}

func TestDeletesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, err := w.client.DeleteObservationLog(w.within(patience), &katibapi.DeleteObservationLogRequest{})
	w.wantCode(err, codes.InvalidArgument)
	w.must(w.db.Close())
	_, err = w.client.DeleteObservationLog(w.within(patience), &katibapi.DeleteObservationLogRequest{TrialName: trial})
	w.wantCode(err, codes.Unavailable)
}
