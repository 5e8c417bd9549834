package integration

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// journal is the log of a consumer or a producer that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

// showIfFailed prints the log where it helps.
func (j *journal) showIfFailed(t testing.TB) {
	t.Cleanup(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if t.Failed() {
			t.Logf("the log:\n%s", j.text.String())
		}
	})
}

// changedOnce demands one line for a part's trouble and one for its end, however many workers met it how often.
func (j *journal) changedOnce(t testing.TB, part string) {
	t.Helper()
	began, ended := j.count(part+" is not well"), j.count(part+" is well again")
	if began != 1 || ended != 1 {
		t.Errorf("the log says %d times that the %s is not well and %d times that it is again; want each once", began, part, ended)
	}
}
