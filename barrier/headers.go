package barrier

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/pull"
)

// headers reads messages without their bodies, through a consumer that is gone afterwards.
type headers struct {
	stream  jetstream.Stream
	name    string
	from    *pull.Puller
	pending uint64 // how many are to come
}

// What is read at once: a publisher's headers can have 64 KiB, and take twenty times that as a map.
const (
	headersAtOnce     = 1_000
	headerBytesAtOnce = 256 << 10
)

func (b *Barrier) open(ctx context.Context, stream jetstream.Stream, filter string, first uint64) (*headers, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     filter,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       first,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		InactiveThreshold: 30 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, failed(ctx, "read headers", err)
	}
	info := consumer.CachedInfo()
	h := &headers{stream: stream, name: info.Name, pending: info.NumPending}
	if h.from, err = pull.New(b.js, headersAtOnce); err != nil {
		h.delete(ctx)
		return nil, failed(ctx, "read headers", err)
	}
	return h, nil
}

// next gives some more; none when nothing came for a second.
func (h *headers) next(ctx context.Context) ([]jetstream.Msg, error) {
	if ctx.Err() != nil {
		return nil, failed(ctx, "read headers", ctx.Err())
	}
	batch, err := h.from.Pull(h.name, int(min(max(h.pending, 1), headersAtOnce)), headerBytesAtOnce, time.Second)
	if err != nil {
		return nil, failed(ctx, "read headers", err)
	}
	for _, msg := range batch {
		if meta, err := msg.Metadata(); err == nil {
			h.pending = meta.NumPending
		}
	}
	return batch, nil
}

func (h *headers) close(ctx context.Context) {
	h.from.Close(false)
	h.delete(ctx)
}

// delete spares the server the consumer's last seconds; without it, it ends when it is idle.
func (h *headers) delete(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = h.stream.DeleteConsumer(ctx, h.name)
}
