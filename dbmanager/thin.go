package dbmanager

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/katib-stream/katib-stream/katibdb"
)

var errTooMany = errors.New("it has so many metrics that not even the first, last, least and greatest point of each fit into a reply; read one metric")

// thinner keeps as many rows of a log as fit into a reply. Of a log that is too long it keeps, for each metric, the first,
// the last, the least and the greatest, which is what Katib makes a Trial's observation of, and of the others every
// second, fourth, eighth and so on. It holds no more rows than fit.
type thinner struct {
	limit   int
	total   int // rows so far
	bytes   int // of all of them
	kept    int // bytes of the samples
	ends    int // bytes of the firsts, lasts, leasts and greatests
	metrics map[string]*thinned
	list    []*thinned
}

// thinned is a metric of a log. Its samples are its rows stride, 2 × stride, 3 × stride and so on, counted from 0.
type thinned struct {
	count   int
	stride  int
	samples []place
	bytes   int // of the samples

	first, last place
	min, max    place
	low, high   float64 // values of min and max; NaN before there are any
}

// place is a row, its place in the log, and its size in a reply.
type place struct {
	row   katibdb.Row
	index int
	size  int
}

func newThinner(limit int) *thinner {
	const around = 16 // bytes of the reply beside its rows
	return &thinner{limit: limit - around, metrics: map[string]*thinned{}}
}

// add takes the log's next row.
func (t *thinner) add(row katibdb.Row) error {
	m := t.metrics[row.Metric]
	if m == nil {
		m = &thinned{stride: 1, low: math.NaN(), high: math.NaN()}
		t.metrics[row.Metric] = m
		t.list = append(t.list, m)
	} else {
		row.Metric = m.first.row.Metric // one copy of the name is enough
	}
	p := place{row, t.total, sizeOf(row)}
	t.ends += m.note(p)
	if m.count > 0 && m.count%m.stride == 0 {
		m.samples = append(m.samples, p)
		m.bytes += p.size
		t.kept += p.size
	}
	m.count++
	t.total++
	t.bytes += p.size
	for t.bytes > t.limit && t.kept+t.ends > t.limit {
		if t.ends > t.limit {
			return errTooMany
		}
		t.halve()
	}
	return nil
}

// note keeps a row that is the first, last, least or greatest, and returns by how many bytes that changed these.
func (m *thinned) note(p place) (grown int) {
	replace := func(end *place) {
		grown += p.size - end.size
		*end = p
	}
	if m.count == 0 {
		replace(&m.first)
	}
	replace(&m.last)
	value, err := strconv.ParseFloat(p.row.Value, 64)
	if err != nil || math.IsNaN(value) {
		return grown
	}
	if !(value >= m.low) { // the first time too
		m.low = value
		replace(&m.min)
	}
	if !(value <= m.high) {
		m.high = value
		replace(&m.max)
	}
	return grown
}

// halve drops every other sample of the metrics that have many, and leaves those that have few compared with the others.
// Together the former have more than half of all, so it is seldom needed.
func (t *thinner) halve() {
	many := t.kept / len(t.list) / 2
	for _, m := range t.list {
		if m.bytes <= many {
			continue
		}
		t.kept -= m.bytes
		m.halve()
		t.kept += m.bytes
	}
}

func (m *thinned) halve() {
	m.stride *= 2
	m.bytes = 0
	half := m.samples[:0]
	for i := 1; i < len(m.samples); i += 2 {
		half = append(half, m.samples[i])
		m.bytes += m.samples[i].size
	}
	clear(m.samples[len(half):])
	m.samples = half
}

// rows gives what is kept, in the log's order.
func (t *thinner) rows() []katibdb.Row {
	var places []place
	for _, m := range t.list {
		places = append(places, m.samples...)
		places = append(places, m.first, m.last)
		if !math.IsNaN(m.low) {
			places = append(places, m.min, m.max)
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.index, b.index) })
	places = slices.CompactFunc(places, func(a, b place) bool { return a.index == b.index })
	rows := make([]katibdb.Row, len(places))
	for i, p := range places {
		rows[i] = p.row
	}
	return rows
}

// sizeOf is how many bytes of a reply a row takes, at most.
func sizeOf(row katibdb.Row) int {
	const tag = 1
	metric := 2*tag + protowire.SizeBytes(len(row.Metric)) + protowire.SizeBytes(len(row.Value))
	entry := 2*tag + protowire.SizeBytes(len("2006-01-02T15:04:05.000000Z")) + protowire.SizeBytes(metric)
	return tag + protowire.SizeBytes(entry)
}
