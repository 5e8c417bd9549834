package producer

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// responder stands for the consumers' flush service: it gives one answer after the other, and the last one for ever.
type responder struct {
	t       testing.TB
	mu      sync.Mutex
	answers []func(*nats.Msg)
	asked   []schema.FlushRequest
}

func respond(t testing.TB, nc *nats.Conn, answers ...func(*nats.Msg)) *responder {
	t.Helper()
	r := &responder{t: t, answers: answers}
	if _, err := nc.Subscribe("katib.flush.default.my-trial", r.answer); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *responder) answer(msg *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var question schema.FlushRequest
	if err := json.Unmarshal(msg.Data, &question); err != nil {
		r.t.Errorf("asked %s: %v", msg.Data, err)
	}
	r.asked = append(r.asked, question)
	next := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	next(msg)
}

// change gives another answer from now on.
func (r *responder) change(answer func(*nats.Msg)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = []func(*nats.Msg){answer}
}

func (r *responder) questions() []schema.FlushRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]schema.FlushRequest(nil), r.asked...)
}

func says(answer schema.FlushAnswer) func(*nats.Msg) {
	return func(msg *nats.Msg) {
		text, _ := json.Marshal(answer)
		_ = msg.Respond(text)
	}
}

var (
	persisted = says(schema.FlushAnswer{Status: schema.FlushPersisted})
	pending   = says(schema.FlushAnswer{Status: schema.FlushPending, Pending: 3})
)

func fails(code, text string) func(*nats.Msg) {
	return func(msg *nats.Msg) {
		_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Service-Error": {text}, "Nats-Service-Error-Code": {code}}})
	}
}
