package dbmanager

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	calls    *prometheus.HistogramVec
	reported prometheus.Counter
	thinned  prometheus.Counter
}

// newMetrics registers the metrics; without a registerer they count for nobody.
func newMetrics(r prometheus.Registerer, producers func() float64) *metrics {
	m := &metrics{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "katib_stream_dbmanager_call_seconds", Help: "Duration of gRPC calls in seconds, by method and gRPC's code.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 17),
		}, []string{"method", "code"}),
		reported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "katib_stream_dbmanager_reported_entries_total", Help: "Entries of reports that were answered as persisted, or as stored where that is asked for.",
		}),
		thinned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "katib_stream_dbmanager_thinned_reads_total", Help: "Reads of which only a part of the points was given.",
		}),
	}
	if r != nil {
		r.MustRegister(m.calls, m.reported, m.thinned, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "katib_stream_dbmanager_producers", Help: "Trials that this process has a producer for.",
		}, producers))
	}
	return m
}
