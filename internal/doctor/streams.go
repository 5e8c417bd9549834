package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/schema"
)

func (v *visit) lookAtStreams(ctx context.Context) {
	v.stream = v.lookAtStream(ctx, schema.Stream, schema.StreamConfig, subjectStream)
	v.deadLetters = v.lookAtStream(ctx, schema.DeadLetterStream, schema.DeadLetterConfig, subjectDead)
	if v.stream != nil {
		v.judgeLargest(v.stream.CachedInfo().Config)
		v.judgeEpoch(v.stream.CachedInfo().Config)
	}
}

func (v *visit) lookAtStream(ctx context.Context, name string, config []byte, subject string) jetstream.Stream {
	if !v.mayAsk(name, subject) {
		return nil
	}
	within, cancel := v.within(ctx)
	defer cancel()
	before := clockNow()
	stream, err := v.js.Stream(within, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		v.say(name, Fail, "there is no such stream", v.fixable("make the streams that are missing", v.makeStreams))
		v.judgeRoom(name)
		return nil
	case err != nil:
		v.say(name, Fail, inWords(err), "see whether it has a leader: `nats stream info "+name+"`")
		return nil
	}
	info := stream.CachedInfo()
	v.skew, v.trip = before.skew(info.TimeStamp)
	drifted := v.judgeStream(info, config)
	if !drifted {
		v.ok(name, "%s, %s, %s", count(info.State.Msgs, "message"), humanize.IBytes(info.State.Bytes), replicas(info))
	}
	v.judgeFullness(info)
	v.judgeReplicas(info)
	return stream
}

// makeStreams leaves streams that exist as they are.
func (v *visit) makeStreams(ctx context.Context) error {
	_, err := consumer.EnsureStreams(ctx, v.js, v.cfg.Streams)
	return err
}

// judgeRoom asks whether the account has room for a stream that does not exist yet.
func (v *visit) judgeRoom(name string) {
	needs := v.cfg.Streams.MaxBytes
	if name == schema.DeadLetterStream {
		needs = v.cfg.Streams.DeadLetterMaxBytes
	}
	if v.room != nil && needs > *v.room {
		v.say(name, Fail, fmt.Sprintf("the account has room for %s, the stream wants %s", humanize.IBytes(uint64(max(0, *v.room))), humanize.IBytes(uint64(needs))),
			"raise the account's storage, or give a smaller --stream-max-bytes or --dead-letter-max-bytes")
	}
}

// judgeEpoch wants the mark that tells a stream from one that is made anew.
func (v *visit) judgeEpoch(sc jetstream.StreamConfig) {
	if sc.Metadata[schema.MetadataEpoch] == "" {
		v.say(schema.Stream, Warn, "it was made by hand and has no epoch, by which it is told from a later one of its name", v.fixable("mark the stream with an epoch", v.makeStreams))
	}
}

// judgeLargest compares the largest message with the server's limit, which a dead letter must fit, too.
func (v *visit) judgeLargest(sc jetstream.StreamConfig) {
	limit := v.nc.MaxPayload() - schema.PayloadReserve
	detail := fmt.Sprintf("max_msg_size is %d; with the server's max payload of %d it can be %d", sc.MaxMsgSize, v.nc.MaxPayload(), limit)
	mend := fmt.Sprintf("nats stream edit %s --max-msg-size=%d", sc.Name, limit)
	switch {
	case sc.MaxMsgSize <= 0 || int64(sc.MaxMsgSize) > limit:
		v.say(sc.Name, Warn, detail+", so that a dead letter fits", mend)
	case int64(sc.MaxMsgSize) < limit:
		v.say(sc.Name, Note, detail, "")
	}
}
