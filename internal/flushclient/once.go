package flushclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	// noResponders is the status of the answer when nobody listens.
	noResponders = "503"
	// lookEvery is how often a question that waits looks what became of the connection.
	lookEvery = 100 * time.Millisecond
)

// once asks once. It has an inbox of its own, so that the server's word on what it does not permit can be told from others.
func (a asker) once(ctx context.Context) (schema.FlushAnswer, error) {
	none := schema.FlushAnswer{}
	if err := away(a.nc); err != nil {
		return none, err
	}
	before := a.look()
	inbox := a.nc.NewInbox()
	answers := make(chan *nats.Msg, 1)
	sub, err := a.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return none, fmt.Errorf("subscribe to the answer: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if err := a.nc.PublishRequest(a.subject, inbox, a.body); err != nil {
		return none, fmt.Errorf("ask: %w", err)
	}
	timeout := time.NewTimer(a.timeout)
	defer timeout.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case answer := <-answers:
			return readAnswer(answer)
		case <-ticker.C:
			if err := a.broken(before, inbox); err != nil {
				return none, err
			}
		case <-timeout.C:
			return none, fmt.Errorf("%w within %v: %w", ErrUnanswered, a.timeout, nats.ErrTimeout)
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// glance is what is seen of the connection at a moment.
type glance struct {
	reconnects uint64
	err        error // the last that the server sent
}

func (a asker) look() glance {
	return glance{a.nc.Stats().Reconnects, a.nc.LastError()}
}

func away(nc *nats.Conn) error {
	switch {
	case nc.IsClosed():
		return nats.ErrConnectionClosed
	case !nc.IsConnected():
		return errDisconnected
	}
	return nil
}

// broken says why no answer can come any more, if so. An error from before the question says nothing about it.
func (a asker) broken(before glance, inbox string) error {
	if err := away(a.nc); err != nil {
		return err
	}
	now := a.look()
	switch {
	case now.reconnects != before.reconnects:
		return errDisconnected
	case !errors.Is(now.err, nats.ErrPermissionViolation) || now.err == before.err:
		return nil
	case strings.Contains(now.err.Error(), inbox):
		return &DeniedError{"receive the answer on " + inbox, now.err}
	case strings.Contains(now.err.Error(), `"`+a.subject+`"`):
		return &DeniedError{"publish to " + a.subject, now.err}
	}
	return nil
}

// readAnswer reads what the service says, or the server for it.
func readAnswer(msg *nats.Msg) (answer schema.FlushAnswer, err error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
		return answer, fmt.Errorf("%w: %w", ErrUnanswered, nats.ErrNoResponders)
	}
	if code := msg.Header.Get(micro.ErrorCodeHeader); code != "" {
		number, err := strconv.Atoi(code)
		if err != nil {
			number = 500
		}
		return answer, &RefusedError{number, msg.Header.Get(micro.ErrorHeader)}
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("read the answer: %w", err)
	}
	switch answer.Status {
	case schema.FlushPersisted, schema.FlushPending, schema.FlushDeleted, schema.FlushMissing:
		return answer, nil
	}
	return answer, fmt.Errorf("read the answer: its status is %q", answer.Status)
}
