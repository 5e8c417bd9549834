package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	deadLetterTimeout = 10 * time.Second
	deadLettersAtOnce = 64
	maxReason         = 1 << 10 // bytes; far under schema.PayloadReserve
)

// keepDeadLetters stores the refused among the items in KATIB_DEADLETTERS and returns the items that may go on: the good
// ones, and the refused whose dead letter is stored. The others are left for redelivery, so that nothing waits for them.
func (w *worker) keepDeadLetters(ctx context.Context, items []*item) []*item {
	// The first that cannot be stored ends it for the others: a stream that does not answer must not be waited for by each.
	group, storing := errgroup.WithContext(ctx)
	group.SetLimit(deadLettersAtOnce)
	failed := make([]error, len(items))
	refused := 0
	for i, it := range items {
		if it.refused == nil || it.kept {
			continue
		}
		refused++
		group.Go(func() error {
			failed[i] = w.storeDeadLetter(storing, it)
			return failed[i]
		})
	}
	if refused == 0 {
		return items
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	w.health.set(partDeadLetters, everyWorker, err)
	kept := make([]*item, 0, len(items))
	for i, it := range items {
		if failed[i] != nil {
			w.later(it)
			continue
		}
		it.kept = it.refused != nil
		kept = append(kept, it)
	}
	return kept
}

func (w *worker) storeDeadLetter(ctx context.Context, it *item) error {
	ctx, cancel := context.WithTimeout(ctx, deadLetterTimeout)
	defer cancel()
	ack, err := w.js.PublishMsg(ctx, deadLetter(it))
	if errors.Is(err, nats.ErrMaxPayload) {
		// Only a stream made by hand, without our limit on messages, has room for such a one.
		ack, err = w.js.PublishMsg(ctx, emptied(deadLetter(it)))
	}
	if err != nil {
		return fmt.Errorf("store the dead letter of message %d: %w", it.stored.Sequence, err)
	}
	if !ack.Duplicate {
		w.metrics.deadLetters.WithLabelValues(it.stage).Inc()
		w.log.Warn("dead letter", "subject", it.stored.Subject, "sequence", it.stored.Sequence, "stage", it.stage, "reason", it.refused)
	}
	return nil
}

// deadLetter is the original message, headers and body, with the reason. Headers of the original that JetStream would act
// on are disarmed by writing "Orig-" for "Nats-", which is no longer and so always fits; the one that clients would act on
// gets a little longer.
func deadLetter(it *item) *nats.Msg {
	msg := nats.NewMsg(deadLetterSubject(it.stored.Subject))
	msg.Data = it.stored.Body
	for name, values := range it.stored.Header {
		msg.Header[disarm(name)] = values
	}
	identity := it.stored.Epoch + ":" + strconv.FormatUint(it.stored.Sequence, 10)
	msg.Header.Set(schema.HeaderMsgID, identity)
	msg.Header.Set(schema.HeaderDeadLetterOf, identity)
	msg.Header.Set(schema.HeaderReason, cut(it.refused.Error(), maxReason))
	msg.Header.Set(schema.HeaderStage, it.stage)
	msg.Header.Set(schema.HeaderSubject, it.stored.Subject)
	msg.Header.Set(schema.HeaderSequence, strconv.FormatUint(it.stored.Sequence, 10))
	msg.Header.Set(schema.HeaderTime, it.stored.Time.UTC().Format(time.RFC3339Nano))
	return msg
}

// emptied keeps only our own headers of a dead letter that is too large; the original stays in KATIB_METRICS.
func emptied(msg *nats.Msg) *nats.Msg {
	for name := range msg.Header {
		if name != schema.HeaderMsgID && !strings.HasPrefix(name, "Katib-Stream-") {
			msg.Header.Del(name)
		}
	}
	msg.Header.Set(schema.HeaderReason, "(too large to be kept whole) "+msg.Header.Get(schema.HeaderReason))
	msg.Data = nil
	return msg
}

func disarm(name string) string {
	if strings.EqualFold(name, "Status") { // clients take a message without a body for a word of the server by it
		return "Orig-Status"
	}
	if len(name) >= 5 && strings.EqualFold(name[:5], "Nats-") {
		return "Orig-" + name[5:]
	}
	return name
}

// deadLetterSubject keeps the original's tokens, unless one of them cannot be published to.
func deadLetterSubject(original string) string {
	const longest = 1 << 10 // valid ones are shorter, and a server hangs up on a client that sends very long ones
	rest := strings.TrimPrefix(original, schema.SubjectPrefix+".")
	if len(rest) > longest {
		return schema.DeadLetterPrefix + ".invalid"
	}
	for token := range strings.SplitSeq(rest, ".") {
		if token == "" || token == "*" || token == ">" || strings.ContainsAny(token, " \t\r\n") {
			return schema.DeadLetterPrefix + ".invalid"
		}
	}
	return schema.DeadLetterPrefix + "." + rest
}

func errForeign(s schema.Subject) error {
	return fmt.Errorf("trial %s is bound to another namespace than %s, whose report this is", s.Trial, s.Namespace)
}

// cut shortens text to at most limit bytes, on one line, without breaking a character.
func cut(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "")
}
