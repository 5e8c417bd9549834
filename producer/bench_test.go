package producer

import (
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// BenchmarkReport measures what a report costs the training loop while everything is delivered to a real server beside
// it. The buffer takes all, and so does the spool, so that it is the report that is measured and not the server.
func BenchmarkReport(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkReport(b, Config{}) })
	b.Run("spool", func(b *testing.B) { benchmarkReport(b, Config{Spool: b.TempDir(), SpoolBytes: 16 << 30}) })
}

func benchmarkReport(b *testing.B, cfg Config) {
	nc := connect(b, testserver.NATS(b).URL())
	makeStream(b, nc)
	cfg.BufferBytes = 16 << 30
	p := newProducer(b, nc, cfg)
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
