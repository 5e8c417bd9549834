package chaos

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// watcher prints how it goes, and notes the longest time in which nothing was persisted.
type watcher struct {
	*nemesis
	mu      sync.Mutex
	rows    int64
	moved   time.Time
	longest time.Duration
	during  string
}

func (w *watcher) run(ctx context.Context) {
	const look, line = 100 * time.Millisecond, 100
	w.moved = time.Now()
	for i := 1; sleep(ctx, look); i++ {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		rows, err := w.lastRow(limited)
		cancel()
		w.note(rows, err)
		if i%line == 0 {
			w.print()
		}
	}
}

func (w *watcher) note(rows int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stall := time.Since(w.moved); stall > w.longest {
		w.longest, w.during = stall, strings.Join(w.now(), " + ")
	}
	if err == nil && rows != w.rows {
		w.rows, w.moved = rows, time.Now()
	}
}

func (w *watcher) print() {
	faults := strings.Join(w.now(), ", ")
	if faults == "" {
		faults = "no fault"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(os.Stderr, "%s: about %d rows; %s\n", w.clock(), w.rows, faults)
}
