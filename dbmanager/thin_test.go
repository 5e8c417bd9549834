package dbmanager

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)

func thin(t *testing.T, limit int, rows []katibdb.Row) []katibdb.Row {
	t.Helper()
	thinner := newThinner(limit)
	for _, row := range rows {
		if err := thinner.add(row); err != nil {
			t.Fatal(err)
		}
		if thinner.kept > limit {
			t.Fatalf("%d bytes are in hand, of %d", thinner.kept, limit)
		}
	}
	kept := thinner.rows()
	if size := proto.Size(&katibapi.GetObservationLogReply{ObservationLog: logOf(kept)}); size > limit {
		t.Fatalf("the reply has %d bytes, of %d", size, limit)
	}
	return kept
}

func TestThinAMillionPoints(t *testing.T) {
	t.Parallel()
	const n, limit = 1_000_000, 7 << 19
	rows := make([]katibdb.Row, n)
	for i := range rows {
		rows[i] = katibdb.Row{Time: start.Add(time.Duration(i/3) * time.Second), Metric: "loss", Value: fmt.Sprint(rand.Float64())}
	}
	rows[123_457].Value, rows[765_431].Value = "-1", "2"
	rows[500_000] = katibdb.Row{Time: rows[500_000].Time, Metric: "rare", Value: "7"}
	kept := thin(t, limit, rows)
	if len(kept) < 10_000 {
		t.Errorf("only %d are kept", len(kept))
	}
	if kept[0] != rows[0] || kept[len(kept)-1] != rows[n-1] {
		t.Error("the first or the last is not there")
	}
	found := map[string]bool{}
	before := 0
	for _, row := range kept {
		found[row.Value] = true
		at := before
		for rows[at] != row { // in the log's order
			at++
		}
		if gap := at - before; gap > 64 {
			t.Fatalf("between %d and %d nothing is kept", before, at)
		}
		before = at
	}
	if !found["-1"] || !found["2"] || !found["7"] {
		t.Error("the least, the greatest or the rare one is not there")
	}
}

func TestNoThinningOfWhatFits(t *testing.T) {
	t.Parallel()
	var rows []katibdb.Row
	size := 16
	for i := 0; ; i++ {
		row := katibdb.Row{Time: start, Metric: fmt.Sprint("m", i%7), Value: fmt.Sprint(i)}
		if size += sizeOf(row); size > 1<<20 {
			break
		}
		rows = append(rows, row)
	}
	if kept := thin(t, 1<<20, rows); len(kept) != len(rows) {
		t.Errorf("%d of %d are kept", len(kept), len(rows))
	}
}

func TestThinningSparesTheSmall(t *testing.T) {
	t.Parallel()
	var rows []katibdb.Row
	for i := range 100_000 {
		rows = append(rows, katibdb.Row{Time: start, Metric: "long", Value: "NaN"})
		if i%1000 == 0 {
			rows = append(rows, katibdb.Row{Time: start, Metric: "short", Value: "unavailable"})
		}
	}
	short := 0
	for _, row := range thin(t, 64<<10, rows) {
		if row.Metric == "short" {
			short++
		}
	}
	if short != 100 {
		t.Errorf("%d of 100 points of the short metric are kept", short)
	}
}

func TestThinnedAtRandom(t *testing.T) {
	t.Parallel()
	for range 8 {
		var rows []katibdb.Row
		metrics := 1 + rand.IntN(20)
		notNumbers := []string{"NaN", "", "x", "1e400"}
		type ends struct{ first, last string }
		want := map[string]*ends{}
		for range 10_000 {
			number := rand.NormFloat64()
			row := katibdb.Row{Time: start, Metric: fmt.Sprint("m", int(rand.ExpFloat64()*float64(metrics))), Value: fmt.Sprint(number)}
			if rand.IntN(4) == 0 {
				row.Value = notNumbers[rand.IntN(len(notNumbers))]
			}
			rows = append(rows, row)
			if want[row.Metric] == nil {
				want[row.Metric] = &ends{first: row.Value}
			}
			want[row.Metric].last = row.Value
		}
		got := map[string]*ends{}
		for _, row := range thin(t, 64<<10, rows) {
			if got[row.Metric] == nil {
				got[row.Metric] = &ends{first: row.Value}
			}
			got[row.Metric].last = row.Value
		}
		for metric, ends := range want {
			if got[metric] == nil || *got[metric] != *ends {
				t.Errorf("metric %s begins and ends with %v, not %v", metric, got[metric], ends)
			}
		}
		for i := range rows {
			rows[i].Metric = "one"
		}
		low, high := bounds(rows)
		if a, b := bounds(thin(t, 64<<10, rows)); a != low || b != high {
			t.Errorf("the values are from %v to %v, not from %v to %v", a, b, low, high)
		}
	}
}

func bounds(rows []katibdb.Row) (low, high float64) {
	for _, row := range rows {
		if value, err := strconv.ParseFloat(row.Value, 64); err == nil && !math.IsNaN(value) {
			low, high = min(low, value), max(high, value)
		}
	}
	return low, high
}

func TestTooManyMetrics(t *testing.T) {
	t.Parallel()
	thinner := newThinner(64 << 10)
	for i := range 10_000 {
		err := thinner.add(katibdb.Row{Time: start, Metric: fmt.Sprint(i), Value: "1"})
		if errors.Is(err, errTooMany) {
			return
		}
	}
	t.Error("it holds everything")
}
