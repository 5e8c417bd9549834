package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// asideSuffix is what the name of a file gets that nobody will deliver.
const asideSuffix = ".aside"

// Segment is a file whose lock this process holds: one that it writes, or one that a dead process left. It is not safe for
// concurrent use. End it with Close, or with Remove.
type Segment struct {
	path string
	file *os.File
	page []byte // the mapped file while it takes events
	end  int    // where the next record goes
}

// Path is where the file is.
func (s *Segment) Path() string { return s.path }

// AppendEvent copies an event into the segment: the line, with its newline, of the message with that number. It makes no
// system call. False says that there is no room for it, or that the segment was finished.
func (s *Segment) AppendEvent(number uint64, line []byte) bool {
	end := s.end + recordBytes(len(line))
	if end > len(s.page) {
		return false
	}
	putRecord(s.page[s.end:end], kindEvent, number, line)
	s.end = end
	return true
}

// Split notes that a message keeps its first events, and that the others are the message rest from here on. It is to be
// called before either is sent, and only when the stream certainly does not hold the message.
func (s *Segment) Split(number uint64, keep int, rest uint64) error {
	var payload [splitBytes]byte
	binary.LittleEndian.PutUint32(payload[:], uint32(keep))
	binary.LittleEndian.PutUint64(payload[4:], rest)
	return s.note(kindSplit, number, payload[:])
}

// Settle notes that the stream has acknowledged a message.
func (s *Segment) Settle(number uint64) error { return s.note(kindSettled, number, nil) }

// Final notes that a message is its producer's last; it may have no events.
func (s *Segment) Final(number uint64) error { return s.note(kindFinal, number, nil) }

// note appends a record that is no event. Where the space is used up the file grows.
func (s *Segment) note(kind byte, number uint64, payload []byte) error {
	var room [frameBytes + markBytes + splitBytes + 7]byte
	r := room[:recordBytes(len(payload))]
	end := s.end + len(r)
	if end <= len(s.page) {
		putRecord(s.page[s.end:end], kind, number, payload)
		s.end = end
		return nil
	}
	putRecord(r, kind, number, payload)
	if _, err := s.file.WriteAt(r, int64(s.end)); err != nil {
		return fmt.Errorf("note in the spool: %w", err)
	}
	s.end = end
	return nil
}

// Finish ends the appending of events, and gives the memory back. The file stays open, and locked, for notes.
func (s *Segment) Finish() error {
	page := s.page
	s.page = nil
	if page == nil {
		return nil
	}
	return unmap(page)
}

// Read reads the file of a Segment that was claimed; what is appended later goes behind what it found. The error is
// ErrNotSpool, or says why the file cannot be read.
func (s *Segment) Read() (Content, error) {
	data, err := io.ReadAll(io.NewSectionReader(s.file, 0, 1<<62))
	if err != nil {
		return Content{}, fmt.Errorf("read the spool: %w", err)
	}
	c, err := Read(data)
	if err != nil {
		return Content{}, fmt.Errorf("%s: %w", s.path, err)
	}
	s.end = c.end
	return c, nil
}

// Close gives the lock back, and leaves the file to whoever comes next.
func (s *Segment) Close() error { return errors.Join(s.Finish(), s.file.Close()) }

// Remove removes the file, under whatever name it has, and gives the lock back.
func (s *Segment) Remove() error {
	err := os.Remove(s.path) // under the lock, so that nobody claims what is no longer there
	return errors.Join(err, s.Close())
}

// Aside renames the file so that nobody delivers it. It can still be written, and removed.
func (s *Segment) Aside() error {
	if strings.HasSuffix(s.path, asideSuffix) {
		return nil
	}
	if err := os.Rename(s.path, s.path+asideSuffix); err != nil {
		return fmt.Errorf("set a spool file aside: %w", err)
	}
	s.path += asideSuffix
	return nil
}
