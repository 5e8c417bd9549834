// Package spool keeps what a producer accepted in files, so that the next process delivers what one that died left behind.
// It writes and reads the segments that docs/spool.md describes, and says who may: a file is written by whoever holds its
// lock. It knows nothing of NATS; the producer decides what is written, and when a file may go.
package spool

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

const (
	magic = "KSSPOOL1"
	// headerBytes is what stands before the description: the magic, its length and its checksum.
	headerBytes = 16
	// maxDescription is how many bytes a description may have.
	maxDescription = 4096
	// frameBytes is what stands before the bytes that a record's checksum covers: their length and the checksum.
	frameBytes = 8
	// markBytes is how those begin: the kind of the record, and the number of its message.
	markBytes = 9
	// splitBytes is the payload of a split: how many events stay, and the number of the message that has the others.
	splitBytes = 12
)

// The kinds of records.
const (
	kindEvent = iota + 1
	kindSplit
	kindSettled
	kindFinal
)

// Description says whose events a file holds.
type Description struct {
	Namespace string `json:"namespace"`
	Trial     string `json:"trial"`
	Producer  string `json:"producer"`
}

// complete says whether nothing is left out.
func (d Description) complete() bool { return d.Namespace != "" && d.Trial != "" && d.Producer != "" }

// header is how the description's file begins, up to its first record.
func (d Description) header() ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("describe a spool file: %w", err)
	}
	if !d.complete() || len(text) > maxDescription {
		return nil, fmt.Errorf("describe a spool file: %s is incomplete or too long", text)
	}
	header := make([]byte, align(headerBytes+len(text)))
	copy(header, magic)
	binary.LittleEndian.PutUint32(header[8:], uint32(len(text)))
	binary.LittleEndian.PutUint32(header[12:], crc32.ChecksumIEEE(text))
	copy(header[headerBytes:], text)
	return header, nil
}

// align is the place of the record that follows what ends here.
func align(offset int) int { return (offset + 7) &^ 7 }

// recordBytes is the room that a record with so long a payload takes.
func recordBytes(payload int) int { return align(frameBytes + markBytes + payload) }

// putRecord writes a record to where there is room for it. The frame comes last, so that who reads meanwhile sees where the
// file ended before rather than half a record.
func putRecord(room []byte, kind byte, number uint64, payload []byte) {
	covered := room[frameBytes : frameBytes+markBytes+len(payload)]
	covered[0] = kind
	binary.LittleEndian.PutUint64(covered[1:], number)
	copy(covered[markBytes:], payload)
	clear(room[frameBytes+len(covered) : recordBytes(len(payload))])
	sum := crc32.ChecksumIEEE(covered)
	binary.LittleEndian.PutUint64(room, uint64(len(covered))|uint64(sum)<<32)
}

// record is a valid one, as it was read.
type record struct {
	kind    byte
	number  uint64
	payload []byte
}

// recordAt reads the record at the beginning of data; ok is false when no valid one is there.
func recordAt(data []byte) (r record, ok bool) {
	if len(data) < frameBytes+markBytes {
		return record{}, false
	}
	length := uint64(binary.LittleEndian.Uint32(data))
	if length < markBytes || length > uint64(len(data)-frameBytes) {
		return record{}, false
	}
	covered := data[frameBytes : frameBytes+length]
	r = record{covered[0], binary.LittleEndian.Uint64(covered[1:]), covered[markBytes:]}
	if !r.shaped() || crc32.ChecksumIEEE(covered) != binary.LittleEndian.Uint32(data[4:]) {
		return record{}, false
	}
	return r, true
}

// shaped says whether the kind is known, and the payload one of that kind.
func (r record) shaped() bool {
	if r.number == 0 {
		return false
	}
	switch r.kind {
	case kindEvent:
		return len(r.payload) > 0 && r.payload[len(r.payload)-1] == '\n'
	case kindSplit:
		return len(r.payload) == splitBytes
	case kindSettled, kindFinal:
		return len(r.payload) == 0
	}
	return false
}

// split reads the payload of a split.
func (r record) split() (keep uint64, rest uint64) {
	return uint64(binary.LittleEndian.Uint32(r.payload)), binary.LittleEndian.Uint64(r.payload[4:])
}
