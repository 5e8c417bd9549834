package producer

import (
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// BenchmarkReport measures what a report costs the training loop while everything is delivered to a real server beside
// it. The buffer takes all, so that it is the report that is measured and not the server.
func BenchmarkReport(b *testing.B) {
	nc := connect(b, testserver.NATS(b).URL())
	makeStream(b, nc)
	p := newProducer(b, nc, Config{BufferBytes: 16 << 30})
	ctx := b.Context()
	e := schema.Event{Step: new(int64(7)), Metrics: []schema.Metric{schema.Number("loss", 0.12345), schema.Number("accuracy", 0.91)}}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Report(ctx, e); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	closeNow(b, p)
}
