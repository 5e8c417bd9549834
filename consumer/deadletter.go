package consumer

import (
	"context"
	"fmt"
	"maps"
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
	maxReason         = 1 << 10   // bytes; far under schema.PayloadReserve
	maxHeader         = 1<<16 - 1 // bytes of all headers, which a server stores
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
	ack, err := w.js.PublishMsg(ctx, deadLetter(it, int(w.js.Conn().MaxPayload())))
	if err != nil {
		return fmt.Errorf("store the dead letter of message %d: %w", it.stored.Sequence, err)
	}
	if !ack.Duplicate {
		w.metrics.deadLetters.WithLabelValues(it.stage).Inc()
		w.log.Warn("dead letter", "subject", it.stored.Subject, "sequence", it.stored.Sequence, "stage", it.stage, "reason", it.refused)
	}
	return nil
}

// deadLetter is the original message, headers and body, with the reason. What a server would not store is left out: the
// original stays in KATIB_METRICS, and one that has no dead letter would come back for ever.
func deadLetter(it *item, maxPayload int) *nats.Msg {
	own := ownHeader(it)
	msg := &nats.Msg{Subject: deadLetterSubject(it.stored.Subject), Data: it.stored.Body, Header: nats.Header{}}
	for name, values := range it.stored.Header {
		name = disarm(name)
		msg.Header[name] = append(msg.Header[name], values...)
	}
	maps.Copy(msg.Header, own)
	if fits(msg, maxPayload) {
		return msg
	}
	msg.Header = own
	reason := own.Get(schema.HeaderReason)
	own.Set(schema.HeaderReason, "(kept without its headers, which are too long) "+reason)
	if !fits(msg, maxPayload) { // only a stream made by hand, without our limit on messages, has room for such a one
		own.Set(schema.HeaderReason, "(too large to be kept) "+reason)
		msg.Data = nil
	}
	return msg
}

// fits says whether a server takes the message.
func fits(msg *nats.Msg, maxPayload int) bool {
	size := msg.Size() - len(msg.Subject)
	return size <= maxPayload && size-len(msg.Data) <= maxHeader
}

// ownHeader is what a dead letter has beside the original's headers.
func ownHeader(it *item) nats.Header {
	sequence := strconv.FormatUint(it.stored.Sequence, 10)
	identity := it.stored.Epoch + ":" + sequence
	return nats.Header{
		schema.HeaderMsgID:        {identity},
		schema.HeaderDeadLetterOf: {identity},
		schema.HeaderReason:       {cut(it.refused.Error(), maxReason)},
		schema.HeaderStage:        {it.stage},
		schema.HeaderSubject:      {it.stored.Subject},
		schema.HeaderSequence:     {sequence},
		schema.HeaderTime:         {it.stored.Time.UTC().Format(time.RFC3339Nano)},
	}
}

// disarm gives a header of the original a name that nobody acts on: "Orig-" for "Nats-", which JetStream would, and the one
// that clients would take for a word of the server. What our client does not write becomes "_", though others do.
func disarm(name string) string {
	switch {
	case strings.EqualFold(name, "Status"):
		return "Orig-Status"
	case len(name) >= 5 && strings.EqualFold(name[:5], "Nats-"):
		name = "Orig-" + name[5:]
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return '_'
		}
		return r
	}, name)
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
