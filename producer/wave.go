package producer

import "slices"

// wave is what was accepted before some calls of Flush.
type wave struct {
	last    uint64        // the last event's place among all that were accepted
	left    int           // events that are not settled
	number  uint64        // the greatest of the messages that are stored
	callers int           // who wait for it
	settled chan struct{} // closed when nothing is left, or waiting is of no use
}

// flushes is what Flush has to know. The producer's mutex guards it.
type flushes struct {
	waves  []*wave // that are not settled, the oldest first
	stored uint64  // the greatest number that the stream acknowledged
	gaps   bool    // messages were given up, whose numbers the stream never gets

	// Events that a Flush has told of.
	refused, conflicting uint64
}

// join is the wave of the events up to the last, of which left are not settled.
func (f *flushes) join(last uint64, left int) *wave {
	w := &wave{last: last, left: left, number: f.stored, settled: make(chan struct{})}
	if left == 0 {
		close(w.settled)
		return w
	}
	if n := len(f.waves); n > 0 && f.waves[n-1].last == last {
		w = f.waves[n-1]
	} else {
		f.waves = append(f.waves, w)
	}
	w.callers++
	return w
}

func (f *flushes) leave(w *wave) {
	if w.callers--; w.callers <= 0 {
		f.waves = slices.DeleteFunc(f.waves, func(other *wave) bool { return other == w })
	}
}

// settled takes a message off the waves that it belongs to.
func (f *flushes) settled(m *message, stored bool) {
	if stored {
		f.stored = max(f.stored, m.number)
	}
	f.waves = slices.DeleteFunc(f.waves, func(w *wave) bool {
		if m.last > w.last {
			return false
		}
		if stored {
			w.number = max(w.number, m.number)
		}
		if w.left -= m.events; w.left == 0 {
			close(w.settled)
		}
		return w.left == 0
	})
}

// fail ends the waits of all.
func (f *flushes) fail() {
	for _, w := range f.waves {
		close(w.settled)
	}
	f.waves = nil
}
