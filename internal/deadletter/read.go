package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// Filter says which letters are meant; the zero value all.
type Filter struct {
	// Namespace and Trial are the original's.
	Namespace, Trial string
	// Stage is that which refused it, and Reason a part of the reason, in any case.
	Stage, Reason string
	// Since and Until bound when the letter was stored.
	Since, Until time.Time
}

// subjects is the filter that the server knows of.
func (f Filter) subjects() string {
	namespace, trial := "*", "*"
	if f.Namespace != "" {
		namespace = schema.EncodeToken(f.Namespace)
	}
	if f.Trial != "" {
		trial = schema.EncodeToken(f.Trial)
	}
	if f.Namespace == "" && f.Trial == "" {
		return schema.DeadLetterPrefix + ".>" // also those on subjects that are no trial's
	}
	return schema.DeadLetterPrefix + "." + namespace + "." + trial + ".>"
}

func (f Filter) matches(l *Letter) bool {
	return (f.Stage == "" || f.Stage == l.Stage) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason))) &&
		(f.Until.IsZero() || !l.At.After(f.Until))
}

// Each calls do with each letter that the filter means and the stream holds now, the oldest first, without bodies, until
// do returns an error, which it returns. A letter that does not come within the time-out is an error.
func Each(ctx context.Context, js jetstream.JetStream, f Filter, timeout time.Duration, do func(*Letter) error) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subjects()}, HeadersOnly: true, InactiveThreshold: 30 * time.Second}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	consumer, err := js.OrderedConsumer(ctx, schema.DeadLetterStream, cfg)
	if err != nil {
		return err
	}
	pending := consumer.CachedInfo().NumPending
	if pending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for range pending { // what comes later is not meant
		reading, cancel := context.WithTimeout(ctx, timeout)
		msg, err := messages.Next(jetstream.NextContext(reading))
		cancel()
		if err != nil {
			return err
		}
		at, err := msg.Metadata()
		if err != nil {
			return err
		}
		l := parse(msg.Subject(), msg.Headers(), nil, at.Sequence.Stream, at.Timestamp)
		if f.matches(l) {
			if err := do(l); err != nil {
				return err
			}
		}
		if at.NumPending == 0 {
			break
		}
	}
	return nil
}

// ErrGone says that the stream holds no letter of this sequence.
var ErrGone = errors.New("there is no such dead letter")

// Get reads a letter, with its body.
func Get(ctx context.Context, letters jetstream.Stream, sequence uint64) (*Letter, error) {
	msg, err := letters.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: %d", ErrGone, sequence)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", sequence, err)
	}
	return parse(msg.Subject, msg.Header, msg.Data, msg.Sequence, msg.Time), nil
}

// Remove removes a letter. One that is gone already is no error.
func Remove(ctx context.Context, letters jetstream.Stream, sequence uint64) error {
	err := letters.DeleteMsg(ctx, sequence)
	if err == nil {
		return nil
	}
	if _, getErr := letters.GetMsg(ctx, sequence); errors.Is(getErr, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("remove dead letter %d: %w", sequence, err)
}
