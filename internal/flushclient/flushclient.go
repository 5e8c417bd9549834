// Package flushclient asks the flush service whether reports are persisted: for a producer about its own, for a reader
// about a whole trial. It asks again for as long as it takes, whatever becomes of NATS and of the consumers that answer.
package flushclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	// requestTimeout is how long one question waits for its answer. The service answers within about 5 s.
	requestTimeout = 7 * time.Second
	// quick is what a service never needs for pending: one that stops, say, is not asked again at once.
	quick = time.Second
	// The pauses between questions.
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
	// grace is how long Ask waits, after ctx ended, for a connection that hangs in a write.
	grace = time.Second
)

// Question is what to ask, and for how long.
type Question struct {
	Namespace, Trial string
	schema.FlushRequest
	// Patience is how long nobody may answer before Ask gives up. 0 means until ctx ends.
	Patience time.Duration
}

// Ask asks until the answer is another than pending, and returns that. With an error it returns the last answer there was,
// if any: pending. The error is that of ctx, with what was wrong when it ended; ErrUnanswered when Patience did;
// a *DeniedError; a *RefusedError; or nats.ErrConnectionClosed.
func Ask(ctx context.Context, nc *nats.Conn, q Question) (schema.FlushAnswer, error) {
	body, err := json.Marshal(q.FlushRequest)
	if err != nil {
		return schema.FlushAnswer{}, fmt.Errorf("write the question: %w", err)
	}
	a := asker{nc: nc, subject: schema.FlushSubject(q.Namespace, q.Trial), body: body, patience: q.Patience, timeout: requestTimeout}
	return a.await(ctx)
}

// asker is one Ask under way.
type asker struct {
	nc       *nats.Conn
	subject  string
	body     []byte
	patience time.Duration
	timeout  time.Duration // of one question
}

type result struct {
	answer schema.FlushAnswer
	err    error
}

// await runs it beside: every call of the connection hangs while a write of it does.
func (a asker) await(ctx context.Context) (schema.FlushAnswer, error) {
	results := make(chan result, 1)
	go func() {
		answer, err := a.run(ctx)
		results <- result{answer, err}
	}()
	select {
	case r := <-results:
		return r.answer, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-results:
		return r.answer, r.err
	case <-time.After(grace):
		return schema.FlushAnswer{}, ctx.Err()
	}
}

func (a asker) run(ctx context.Context) (schema.FlushAnswer, error) {
	var last schema.FlushAnswer
	var trouble error
	heard, failures := time.Now(), 0
	for {
		asked := time.Now()
		answer, err := a.once(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return last, ended(ctx.Err(), trouble)
		case err == nil && answer.Status != schema.FlushPending:
			return answer, nil
		case isFinal(err):
			return last, err
		case err == nil:
			last = answer
		}
		trouble = err
		if !isSilence(err) {
			heard = time.Now()
		}
		if failures++; err == nil && time.Since(asked) >= quick {
			failures = 0
		}
		wait := pause(failures)
		if a.patience > 0 && isSilence(err) {
			left := a.patience - time.Since(heard)
			if left <= 0 {
				return last, err
			}
			wait = min(wait, left)
		}
		if !sleep(ctx, wait) {
			return last, ended(ctx.Err(), trouble)
		}
	}
}

// pause doubles from firstPause to maxPause; the actual one is between half of that and all of it.
func pause(failures int) time.Duration {
	d := maxPause
	if failures < 5 {
		d = min(maxPause, firstPause<<failures)
	}
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func ended(err, trouble error) error {
	if trouble == nil || errors.Is(trouble, err) {
		return err
	}
	return fmt.Errorf("%w; %w", err, trouble)
}
