package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// sample is how many messages are read of a stream: enough to tell, and quick.
const sample = 32

// compare asks the database about what the streams say.
func (v *visit) compare(ctx context.Context, found katibdb.Inspection) {
	if len(found.MissingTables) > 0 || found.ReadOnly != "" {
		return
	}
	ctx, cancel := v.within(ctx)
	defer cancel()
	if v.durable != nil && v.mayAsk("same database", subjectGet) {
		v.compareAcknowledged(ctx)
	}
	if v.deadLetters != nil && v.deadLetters.CachedInfo().State.Msgs > 0 && v.mayAsk("namespaces", subjectGetDead) {
		v.compareNamespaces(ctx)
	}
}

// compareAcknowledged looks whether the last messages that were acknowledged are persisted here. If not, the consumers
// write to another database, or some of them do, or this one was lost.
func (v *visit) compareAcknowledged(ctx context.Context) {
	const check = "same database"
	info := v.stream.CachedInfo()
	messages, err := last(ctx, v.stream, min(v.durable.AckFloor.Stream, info.State.LastSeq), info.State.FirstSeq)
	if err != nil {
		v.skip(check, "%s", inWords(err))
		return
	}
	refs := references(messages, info.Config.Metadata[schema.MetadataEpoch])
	persisted, err := v.db.Persisted(ctx, refs)
	if err != nil {
		v.skip(check, "%s", inWords(err))
		return
	}
	missing := 0
	for _, is := range persisted {
		if !is {
			missing++
		}
	}
	switch {
	case len(refs) == 0:
		v.ok(check, "nothing is acknowledged yet that could tell")
	case missing > 0:
		v.say(check, Fail, fmt.Sprintf("of the last %s that consumers acknowledged, %d are not in this database: another has them, or this one was lost", count(uint64(len(refs)), "message"), missing),
			"let every consumer write to this database; then "+anew)
	default:
		v.ok(check, "the last %s that consumers acknowledged are in this database", count(uint64(len(refs)), "message"))
	}
}

// last reads up to sample messages, downwards from one.
func last(ctx context.Context, stream jetstream.Stream, from, first uint64) ([]*jetstream.RawStreamMsg, error) {
	var messages []*jetstream.RawStreamMsg
	for sequence := from; sequence >= max(first, 1) && from-sequence < sample; sequence-- {
		msg, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // purged
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, msg)
	}
	return messages, nil
}

func references(messages []*jetstream.RawStreamMsg, epoch string) []katibdb.Ref {
	var refs []katibdb.Ref
	for _, msg := range messages {
		subject, err := schema.ParseSubject(msg.Subject)
		if err != nil {
			continue // a dead letter
		}
		refs = append(refs, katibdb.Ref{
			Subject: subject, Identity: schema.IdentityOf(subject.Producer, msg.Header.Get(schema.HeaderMsgID), epoch, msg.Sequence),
			Epoch: epoch, Sequence: msg.Sequence, Time: msg.Time,
		})
	}
	return refs
}

// compareNamespaces names the trials that two namespaces report, of which only the first is persisted.
func (v *visit) compareNamespaces(ctx context.Context) {
	const check = "namespaces"
	info := v.deadLetters.CachedInfo()
	messages, err := last(ctx, v.deadLetters, info.State.LastSeq, info.State.FirstSeq)
	if err != nil {
		v.skip(check, "%s", inWords(err))
		return
	}
	others := map[string]map[string]bool{}
	for _, msg := range messages {
		subject, err := schema.ParseSubject(msg.Header.Get(schema.HeaderSubject))
		if err != nil || msg.Header.Get(schema.HeaderStage) != schema.StageNamespace {
			continue
		}
		if others[subject.Trial] == nil {
			others[subject.Trial] = map[string]bool{}
		}
		others[subject.Trial][subject.Namespace] = true
	}
	for _, trial := range slices.Sorted(maps.Keys(others)) {
		v.sayClaimed(ctx, trial, slices.Sorted(maps.Keys(others[trial])))
	}
}

func (v *visit) sayClaimed(ctx context.Context, trial string, namespaces []string) {
	const check = "namespaces"
	bound, err := v.db.Trial(ctx, trial)
	if err != nil {
		v.skip(check, "%s", inWords(err))
		return
	}
	v.say(check, Warn, fmt.Sprintf("trial %s belongs to namespace %q, and %s reported it, too: that became dead letters", trial, bound.Namespace, strings.Join(namespaces, ", ")),
		"give trials names that no other namespace has; or delete the trial, whose name is then free")
}
