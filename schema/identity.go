package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// MaxNumber is the greatest number a producer's message can have.
const MaxNumber = 1<<63 - 1

// ClockMargin is by how much a producer, by its id, must be older than a trial's deletion for its messages to be discarded
// whenever they come: its pod's clock may be behind, and to lose the metrics of a new trial is worse than to get some of an
// old one late.
const ClockMargin = time.Minute

// Identity says which messages are the same message, however often it is stored or delivered. It is comparable, and
// unique within a namespace and trial.
type Identity struct {
	// Source is the producer of a numbered message; otherwise it begins with "*", which no producer id does.
	Source string
	// Number counts a producer's messages from 1; for a message that nobody numbered it is the stream's sequence, or 0
	// where an opaque Nats-Msg-Id identifies it.
	Number uint64
}

// Numbered reports whether a producer numbered the message, so that its watermark covers it.
func (id Identity) Numbered() bool {
	return !strings.HasPrefix(id.Source, "*")
}

// MessageID is the Nats-Msg-Id of a producer's message: "<producer>:<number>".
func MessageID(producer string, number uint64) string {
	return producer + ":" + strconv.FormatUint(number, 10)
}

// IdentityOf derives a message's identity from its producer, its Nats-Msg-Id ("" when it has none) and its place in the
// stream.
//
// "<producer>:<number>", with the producer of its subject and a decimal number from 1 to MaxNumber, is a numbered
// message. Any other Nats-Msg-Id is an opaque identity, hashed. Without the header the identity is the stream's epoch
// and sequence.
func IdentityOf(producer, msgID, epoch string, sequence uint64) Identity {
	if msgID == "" {
		return Identity{Source: "*" + epoch, Number: sequence}
	}
	if number, ok := numberOf(producer, msgID); ok {
		return Identity{Source: producer, Number: number}
	}
	sum := sha256.Sum256([]byte(msgID))
	return Identity{Source: "*" + hex.EncodeToString(sum[:16])}
}

func numberOf(producer, msgID string) (uint64, bool) {
	digits, ok := strings.CutPrefix(msgID, producer+":")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 63)
	ok = err == nil && number > 0 && strconv.FormatUint(number, 10) == digits
	return number, ok
}
