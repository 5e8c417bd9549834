package producer

import "testing"

// sent is a message with that many events, the last of which has that place among all that were accepted.
func sent(number uint64, events int, last uint64) *message {
	return &message{batch: batch{number: number, events: events, last: last}}
}

func (w *wave) isSettled() bool { return isClosed(w.settled) }

func TestWaves(t *testing.T) {
	var f flushes
	if w := f.join(0, 0); !w.isSettled() || w.number != 0 {
		t.Errorf("nothing was accepted, and it waits: %+v", w)
	}
	first, same := f.join(10, 10), f.join(10, 10)
	if first != same || first.callers != 2 {
		t.Error("two who wait for the same events do not share a wave")
	}
	second := f.join(30, 30)
	f.settled(sent(1, 10, 20), true) // of events 11 to 20, before the older ones
	if first.left != 10 || first.number != 0 || second.left != 20 {
		t.Errorf("a later message counts for the first wave: %+v, %+v", first, second)
	}
	f.settled(sent(2, 5, 5), true)
	f.settled(sent(3, 5, 10), false) // refused for good
	if !first.isSettled() || first.number != 2 || second.isSettled() || second.left != 10 {
		t.Errorf("%+v, %+v", first, second)
	}
	f.settled(sent(4, 10, 40), true)
	f.settled(sent(5, 10, 30), true)
	if !second.isSettled() || second.number != 5 || len(f.waves) != 0 {
		t.Errorf("%+v, and %d waves are left", second, len(f.waves))
	}
	if w := f.join(40, 0); !w.isSettled() || w.number != 5 {
		t.Errorf("all is stored, and it waits: %+v", w)
	}
}

func TestAbandonedWave(t *testing.T) {
	var f flushes
	w := f.join(10, 10)
	f.join(10, 10)
	f.leave(w)
	if len(f.waves) != 1 {
		t.Error("the wave is gone before all who wait for it")
	}
	f.leave(w)
	if len(f.waves) != 0 {
		t.Error("the wave is left behind")
	}
}

// The places of events survive the cutting of their message.
func TestHalvedPlaces(t *testing.T) {
	var b buffer
	for i := range 7 {
		b.add(b.encode(event(i)), b.since)
	}
	first, rest := b.take().halve(2)
	if first.last != uint64(first.events) || rest.last != 7 || first.events+rest.events != 7 {
		t.Errorf("%d events up to %d, and %d up to %d", first.events, first.last, rest.events, rest.last)
	}
}
