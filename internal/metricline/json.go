package metricline

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"time"
)

// timestamp is the key of a line's time.
const timestamp = "timestamp"

// readJSON reads a line that is a JSON object: strings and numbers are values, as they are written.
func (r *Reader) readJSON(line []byte) found {
	var f found
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		f.unreadable = r.looksLike(line)
		return f
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		f.unreadable = len(r.names) > 0
		return f
	}
	f.time = timeOf(fields[timestamp])
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, wanted := r.wanted[name]; name == timestamp && !wanted {
			continue
		}
		r.take(&f, []byte(name), textOf(fields[name]))
	}
	return f
}

// textOf is the text of a string or a number; empty for everything else.
func textOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		var text string
		_ = json.Unmarshal(raw, &text) // it was valid
		return text
	case 't', 'f', 'n', '{', '[':
		return ""
	}
	return string(raw)
}

// timeOf reads RFC 3339, or seconds since 1970 with a fraction; zero for everything else.
func timeOf(raw json.RawMessage) time.Time {
	if len(raw) == 0 {
		return time.Time{}
	}
	text := textOf(raw)
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t
	}
	// Not by way of a float64, which has no nanoseconds in our century.
	seconds, ok := new(big.Rat).SetString(text)
	if !ok || len(text) > 64 || !isDecimal(text) {
		return time.Time{}
	}
	nanoseconds := new(big.Rat).Mul(seconds, big.NewRat(int64(time.Second), 1))
	whole := new(big.Int).Quo(nanoseconds.Num(), nanoseconds.Denom())
	if !whole.IsInt64() {
		return time.Time{}
	}
	return time.Unix(0, whole.Int64()).UTC()
}

// isDecimal refuses exponents, whose numbers can be of any size, and fractions like 1/3.
func isDecimal(text string) bool {
	return !bytes.ContainsAny([]byte(text), "eEpPxX/_")
}
