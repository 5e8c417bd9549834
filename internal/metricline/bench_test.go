package metricline

import (
	"fmt"
	"testing"
)

// BenchmarkLines reads output in the pieces in which it comes, a line of 100 bytes after the other.
func BenchmarkLines(b *testing.B) {
	plain := fmt.Sprintf("%-99s\n", "2026-11-24 12:00:00 INFO trainer.py:42 batch 7 of many was seen in 0.1234 s")
	metric := fmt.Sprintf("%-99s\n", "2026-11-24 12:00:00 INFO trainer.py:42 epoch=1 batch=7 loss=0.123456")
	object := fmt.Sprintf("%-99s\n", `{"timestamp": 1638422847.28721, "epoch": 1, "batch": 7, "loss": 0.123456}`)
	for name, bench := range map[string]struct {
		line string
		cfg  Config
	}{
		"no metric":     {plain, Config{Format: Text, Metrics: []string{"loss", "accuracy"}}},
		"text":          {metric, Config{Format: Text, Metrics: []string{"loss", "accuracy"}}},
		"text, filters": {metric, Config{Format: Text, Metrics: []string{"loss", "accuracy"}, Filters: []string{DefaultFilter}}},
		"JSON":          {object, Config{Format: JSON, Metrics: []string{"loss", "accuracy"}}},
	} {
		b.Run(name, func(b *testing.B) {
			reader, err := New(bench.cfg)
			if err != nil {
				b.Fatal(err)
			}
			splitter := NewSplitter(func(line []byte, _ bool) { reader.Line(line) })
			b.SetBytes(int64(len(bench.line)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = splitter.Write([]byte(bench.line))
			}
		})
	}
}
