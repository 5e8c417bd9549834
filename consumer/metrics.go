package consumer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

type metrics struct {
	messages      *prometheus.CounterVec
	rows          prometheus.Counter
	redeliveries  prometheus.Counter
	suspects      prometheus.Counter
	retries       prometheus.Counter
	deadLetters   *prometheus.CounterVec
	batchRows     prometheus.Histogram
	commitSeconds prometheus.Histogram
	pending       prometheus.Gauge
	ackPending    prometheus.Gauge
	trimmed       prometheus.Counter
}

// newMetrics registers the metrics; without a registerer they count for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "katib_stream_messages_total", Help: "Messages settled, by outcome: persisted, duplicate, deleted or dead.",
		}, []string{"outcome"}),
		rows:         counter("katib_stream_rows_total", "Rows committed to observation_logs."),
		redeliveries: counter("katib_stream_redeliveries_total", "Messages received that had been delivered before."),
		suspects:     counter("katib_stream_suspects_total", "Messages delivered for the third time or more, which are handled apart."),
		retries:      counter("katib_stream_commit_retries_total", "Transactions that failed for a reason that passes."),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "katib_stream_dead_letters_total", Help: "Dead letters stored, by the stage that refused the message.",
		}, []string{"stage"}),
		batchRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "katib_stream_batch_rows", Help: "Rows of a committed transaction.", Buckets: prometheus.ExponentialBuckets(1, 4, 9),
		}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "katib_stream_commit_seconds", Help: "Duration of a transaction in seconds.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		pending:    gauge("katib_stream_pending_messages", "Lag: messages in the stream that were not delivered yet."),
		ackPending: gauge("katib_stream_unacknowledged_messages", "Messages delivered to a worker and not acknowledged yet."),
		trimmed:    counter("katib_stream_trimmed_messages_total", "Persisted messages that the janitor trimmed from the stream."),
	}
	for _, outcome := range []string{"persisted", "duplicate", "deleted", "dead"} {
		m.messages.WithLabelValues(outcome)
	}
	for _, stage := range []string{schema.StageDecode, schema.StageNamespace, schema.StagePersist, schema.StageQuarantine} {
		m.deadLetters.WithLabelValues(stage) // so that an alert sees the first one come
	}
	if r != nil {
		r.MustRegister(m.messages, m.rows, m.redeliveries, m.suspects, m.retries, m.deadLetters, m.batchRows, m.commitSeconds, m.pending, m.ackPending, m.trimmed)
	}
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func (m *metrics) count(outcome katibdb.Outcome, dead bool) {
	label := "persisted"
	switch {
	case outcome == katibdb.Duplicate:
		label = "duplicate"
	case outcome == katibdb.Deleted:
		label = "deleted"
	case dead:
		label = "dead"
	}
	m.messages.WithLabelValues(label).Inc()
}
