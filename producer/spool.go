package producer

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/katib-stream/katib-stream/internal/spool"
)

const (
	// noSpool is the folder that stands for none.
	noSpool = "none"
	// spoolRetry is after how long, or after as many bytes as a file would have taken, another file is tried when one could
	// not be made.
	spoolRetry = 10 * time.Second
)

// lot is a file of the spool with what became of its messages. It may go when all of them are settled.
type lot struct {
	*spool.Segment
	unsettled int
	aside     string // why it is set aside rather than removed; empty when it is not
}

// hold notes that a message belongs to the lot; a nil lot is that of messages in memory.
func (l *lot) hold() {
	if l != nil {
		l.unsettled++
	}
}

// spooling is the producer's side of the spool. What goes wrong with it is logged and never anybody's error: then events
// are in memory only. The producer's mutex guards it.
type spooling struct {
	dir         string // empty: there is none
	limit       int64
	description spool.Description
	log         *slog.Logger

	current *lot // takes events; nil while they are in memory only
	lots    []*lot
	index   int // of the youngest file

	failing bool      // the last file could not be made
	retry   time.Time // when the next is tried at the latest
	memory  int       // bytes of events after which it is tried before that
	warned  bool      // that a note could not be written
}

// keep writes the event that was encoded last into the spool, before it is accepted. All events of a message lie in one
// file, so the open batch is cut when the file is full.
func (p *Producer) keep(size int, now time.Time) {
	s, b := &p.spool, &p.buffer
	if s.current == nil && !s.due(size, now) {
		if b.open.events == 0 {
			b.begin(nil)
		}
		return
	}
	if s.append(b, size) {
		return
	}
	if b.open.events > 0 {
		b.turn(size)
	}
	s.next(size, now)
	if !s.append(b, size) {
		b.begin(nil)
	}
}

// append writes the event into the current file as part of the open batch; false when that does not go.
func (s *spooling) append(b *buffer, size int) bool {
	if s.current == nil {
		return false
	}
	first, number := b.open.events == 0, b.open.number
	if first {
		number = b.number + 1
	}
	if !s.current.AppendEvent(number, b.encoded(size)) {
		return false
	}
	if first {
		b.begin(s.current)
	}
	return true
}

// due says whether to try another file, after one could not be made.
func (s *spooling) due(size int, now time.Time) bool {
	if s.dir == "" {
		return false
	}
	s.memory -= size
	return s.memory < 0 || !now.Before(s.retry)
}

// next begins another file, with room for an event of that size.
func (s *spooling) next(size int, now time.Time) {
	if full := s.current; full != nil {
		s.current = nil
		s.warn(full.Finish())
		s.dropSettled(full)
	}
	made, err := s.create(size)
	if err != nil {
		s.fail(err, now)
		return
	}
	if s.failing {
		s.log.Info("the spool takes events again", "file", made.Path())
	}
	s.failing = false
	s.current = &lot{Segment: made}
	s.lots = append(s.lots, s.current)
}

func (s *spooling) create(size int) (*spool.Segment, error) {
	folder, err := spool.Open(s.dir, s.limit)
	if err != nil {
		return nil, err
	}
	made, err := folder.Create(s.description, s.index+1, size)
	if err == nil {
		s.index++
	}
	return made, err
}

// fail says once why events are in memory only.
func (s *spooling) fail(err error, now time.Time) {
	if !s.failing {
		s.log.Warn("the spool takes no more; what is reported is in memory only until it does", "error", err)
	}
	s.failing, s.retry, s.memory = true, now.Add(spoolRetry), spool.SegmentBytes
}

// noteSettled notes what became of a message, and lets its file go when it was the last.
func (p *Producer) noteSettled(gone batch, stored bool) {
	s, l := &p.spool, gone.lot
	if l == nil {
		return
	}
	l.unsettled--
	if stored {
		s.warn(l.Settle(gone.number)) // without the note it may be sent again, which does no harm
	} else {
		l.aside = "it holds what can never be delivered"
	}
	if l != s.current {
		s.dropSettled(l)
	}
}

// noteSplit is called before either half is sent. Where it cannot be noted nobody may deliver the file any more: it would
// be the whole again under the number of its first half.
func (p *Producer) noteSplit(first, rest batch) {
	l := first.lot
	if l == nil {
		return
	}
	err := l.Split(first.number, first.events, rest.number)
	if err == nil {
		return
	}
	p.spool.warn(err)
	p.spool.warn(l.Aside())
}

// noteFinal is called before the final message is sent.
func (p *Producer) noteFinal(last batch) {
	if last.lot != nil {
		p.spool.warn(last.lot.Final(last.number))
	}
}

// warn says once that something about files went wrong.
func (s *spooling) warn(err error) {
	if err == nil || s.warned {
		return
	}
	s.warned = true
	s.log.Warn("the spool cannot be kept; what the stream has may be sent again", "error", err)
}

// dropSettled lets a file go when all of its messages are settled.
func (s *spooling) dropSettled(l *lot) {
	if l.unsettled > 0 {
		return
	}
	s.lots = slices.DeleteFunc(s.lots, func(other *lot) bool { return other == l })
	if l.aside == "" {
		s.warn(l.Remove())
		return
	}
	setAside(s.log, l.Segment, l.aside)
}

// setAside keeps a file for people to look at, and says so.
func setAside(log *slog.Logger, segment *spool.Segment, why string) {
	err := segment.Aside()
	if err == nil {
		log.Error("a file of the spool is set aside; nobody will deliver it", "file", segment.Path(), "reason", why)
	} else {
		log.Error("a file of the spool cannot be delivered, nor set aside", "file", segment.Path(), "reason", why, "error", err)
	}
	_ = segment.Close() // its file was written before
}

// letGo ends the writing: what is settled goes, the rest is for the next process.
func (p *Producer) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.spool
	s.current, s.dir = nil, ""
	for _, l := range slices.Clone(s.lots) {
		s.dropSettled(l)
	}
	for _, l := range s.lots {
		s.warn(l.Close())
	}
	s.lots = nil
}

// left is how many events the spool keeps for the next process, and where. An event that was given up is not among them.
func (p *Producer) left() (events int, dir string) {
	count := func(b batch) {
		if b.lot != nil && p.cfg.Spool != "" {
			events += b.events
		}
	}
	for _, m := range p.delivery.inFlight {
		count(m.batch)
	}
	for _, b := range p.buffer.cut {
		count(b)
	}
	count(p.buffer.open)
	return events, p.cfg.Spool
}

// lies says where so many of all events are.
func lies(kept, all int, dir string) string {
	which := "them"
	switch {
	case kept == 0:
		return ""
	case kept < all:
		which = fmt.Sprintf("%d of them", kept)
	case all == 1:
		which = "it"
	}
	return fmt.Sprintf("; the next start delivers %[1]s from %[2]s, or `katib-stream spool send %[2]s`", which, dir)
}
