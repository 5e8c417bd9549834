package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/flushclient"
	"github.com/katib-stream/katib-stream/schema"
)

// Requeuer publishes letters again.
type Requeuer struct {
	JS      jetstream.JetStream
	Letters jetstream.Stream
	// Timeout bounds a question to NATS, and how long nobody may answer whether the message is persisted; Wait bounds how
	// long it may take until it is.
	Timeout, Wait time.Duration
	// Keep leaves the letter where it is.
	Keep bool
}

// Outcome is what became of a letter that was published again.
type Outcome struct {
	// Before says that it had been published again before; Different that it was with another body, which is the one that counts.
	Before, Different bool
	// Subject is where it was published to.
	Subject string
}

// What a letter that was published again can end as, beside being persisted.
var (
	// ErrDeleted says that its trial was deleted after the original was stored.
	ErrDeleted = errors.New("its trial was deleted since, so it is discarded")
	// ErrDiedAgain says that there is another dead letter of it now.
	ErrDiedAgain = errors.New("it is a dead letter again")
	// ErrPending says that it is stored in KATIB_METRICS and not known to be persisted.
	ErrPending = errors.New("it is stored, and not persisted yet")
)

// Requeue publishes a letter again, waits until it is persisted, and removes it. It can be repeated after any error and by
// several at a time: the message is persisted once. After an error the letter is still there.
func (r Requeuer) Requeue(ctx context.Context, l *Letter, c Change) (Outcome, error) {
	msg, err := l.Message(c)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Subject: msg.Subject}
	if out.Before, out.Different, err = r.before(ctx, msg); err != nil {
		return out, err
	}
	if !out.Before {
		if err := r.publish(ctx, msg); err != nil {
			return out, err
		}
	}
	if err := r.persisted(ctx, msg); err != nil || r.Keep {
		return out, err
	}
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return out, Remove(limited, r.Letters, l.Sequence)
}

// before looks whether the stream has the message already, and whether with another body.
func (r Requeuer) before(ctx context.Context, msg *nats.Msg) (there, different bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	stream, err := r.JS.Stream(ctx, schema.Stream)
	if err != nil {
		return false, false, fmt.Errorf("look up stream %s: %w", schema.Stream, err)
	}
	stored, err := stream.GetLastMsgForSubject(ctx, msg.Subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("look whether it was requeued before: %w", err)
	}
	return true, !bytes.Equal(stored.Data, msg.Data), nil
}

func (r Requeuer) publish(ctx context.Context, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	// Published at the same time by somebody else, it is a duplicate there; that is as good.
	if _, err := r.JS.PublishMsg(ctx, msg, jetstream.WithExpectStream(schema.Stream)); err != nil {
		return fmt.Errorf("publish it: %w", err)
	}
	return nil
}

func (r Requeuer) persisted(ctx context.Context, msg *nats.Msg) error {
	subject, err := schema.ParseSubject(msg.Subject)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	answer, err := flushclient.Ask(waiting, r.JS.Conn(), flushclient.Question{
		Namespace: subject.Namespace, Trial: subject.Trial, Patience: r.Timeout,
		FlushRequest: schema.FlushRequest{Producer: subject.Producer, Number: 1},
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrPending, err)
	case answer.Status == schema.FlushDeleted:
		return ErrDeleted
	case answer.DeadLetters > 0:
		return r.diedAgain(ctx, msg.Subject)
	case answer.Missing > 0:
		return fmt.Errorf("%w: the stream lost it; requeue it again", ErrPending)
	}
	return nil
}

// diedAgain names the new letter.
func (r Requeuer) diedAgain(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	msg, err := r.Letters.GetLastMsgForSubject(ctx, schema.DeadLetterPrefix+subject[len(schema.SubjectPrefix):])
	if err != nil {
		return ErrDiedAgain
	}
	again := parse(msg.Subject, msg.Header, msg.Data, msg.Sequence, msg.Time)
	return fmt.Errorf("%w, number %d, which is the one to requeue next: %s", ErrDiedAgain, again.Sequence, again.Reason)
}
