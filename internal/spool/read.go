package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
)

// Content is what a file holds.
type Content struct {
	Description Description
	// Messages are in the order of their numbers, which is that of their first records.
	Messages []Message
	// Torn says that the file ends in a record that its writer did not finish: its event was never accepted.
	Torn bool
	// Damaged says that something in the file can no longer be read, or contradicts what was written before it.
	Damaged bool

	end int // where the next record goes
}

// Message is one that was given its number, with the events that belong to it now.
type Message struct {
	Number uint64
	// Body is the events' lines, each with its newline, and Events how many there are. None is possible when it is final.
	Body   []byte
	Events int
	// Final says that it is the producer's last.
	Final bool
	// Settled says that the stream has acknowledged it.
	Settled bool
}

// Unsettled is how many messages the stream has not acknowledged, and how many events they hold.
func (c Content) Unsettled() (messages, events int) {
	for _, m := range c.Messages {
		if !m.Settled {
			messages++
			events += m.Events
		}
	}
	return messages, events
}

// Read reads a whole file. What is damaged in it is passed over; the error, which is ErrNotSpool, says that its header is
// not valid.
func Read(data []byte) (Content, error) {
	description, begin, err := readHeader(data)
	if err != nil {
		return Content{}, err
	}
	c := Content{Description: description, end: begin}
	state := reading{}
	for {
		place, r, ok := find(data, c.end)
		if !ok {
			break
		}
		fits := state.apply(r)
		c.Damaged = c.Damaged || place != c.end || !fits
		c.end = place + recordBytes(len(r.payload))
	}
	c.Torn = c.end < len(data) && len(bytes.TrimLeft(data[c.end:], "\x00")) > 0
	c.Messages = state.messages()
	return c, nil
}

func readHeader(data []byte) (d Description, begin int, err error) {
	if len(data) < headerBytes || string(data[:len(magic)]) != magic {
		return d, 0, fmt.Errorf("%w: it does not begin with %s", ErrNotSpool, magic)
	}
	length := int(binary.LittleEndian.Uint32(data[8:]))
	if length > maxDescription || length > len(data)-headerBytes {
		return d, 0, fmt.Errorf("%w: its description has %d bytes", ErrNotSpool, length)
	}
	text := data[headerBytes : headerBytes+length]
	if crc32.ChecksumIEEE(text) != binary.LittleEndian.Uint32(data[12:]) {
		return d, 0, fmt.Errorf("%w: its description is damaged", ErrNotSpool)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, 0, fmt.Errorf("%w: read its description: %w", ErrNotSpool, err)
	}
	if !d.complete() {
		return d, 0, fmt.Errorf("%w: its description lacks the namespace, the trial or the producer", ErrNotSpool)
	}
	return d, align(headerBytes + length), nil
}

// find is the first valid record from a place on.
func find(data []byte, from int) (place int, r record, ok bool) {
	for place = from; place < len(data); place += 8 {
		if r, ok = recordAt(data[place:]); ok {
			return place, r, true
		}
	}
	return 0, record{}, false
}

// reading is what the records said so far, by number.
type reading map[uint64]*draft

// draft is a message whose lines are still apart, for a split.
type draft struct {
	lines                 [][]byte
	split, final, settled bool
}

// apply takes a record in; false says that it contradicts those before it, and is passed over.
func (s reading) apply(r record) bool {
	m := s[r.number]
	switch {
	case r.kind == kindSplit:
		return m != nil && s.split(m, r)
	case r.kind == kindSettled:
		if m != nil {
			m.settled = true
		}
		return m != nil
	case m == nil:
		m = &draft{}
		s[r.number] = m
	case r.kind == kindEvent && (m.split || m.final || m.settled):
		return false // what belongs to it was decided
	}
	if r.kind == kindFinal {
		m.final = true
		return true
	}
	m.lines = append(m.lines, r.payload)
	return true
}

// split parts a message. What was the last message is the first half of it, so the mark goes to the second.
func (s reading) split(m *draft, r record) bool {
	keep, number := r.split()
	if keep == 0 || keep >= uint64(len(m.lines)) || number == 0 || s[number] != nil || m.settled {
		return false
	}
	s[number] = &draft{lines: slices.Clone(m.lines[keep:]), split: true, final: m.final}
	m.lines, m.split, m.final = m.lines[:keep], true, false
	return true
}

func (s reading) messages() []Message {
	all := make([]Message, 0, len(s))
	for number, m := range s {
		all = append(all, Message{number, bytes.Join(m.lines, nil), len(m.lines), m.final, m.settled})
	}
	slices.SortFunc(all, func(a, b Message) int { return cmp.Compare(a.Number, b.Number) })
	return all
}
