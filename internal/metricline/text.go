package metricline

import (
	"bytes"
	"time"
)

// readText reads a line by the filters.
func (r *Reader) readText(line []byte) found {
	f := found{time: leadingTime(line)}
	matched := false
	take := func(name, value []byte) {
		name = bytes.TrimSpace(name)
		_, wanted := r.wanted[string(name)]
		matched = matched || wanted
		r.take(&f, name, string(bytes.TrimSpace(value)))
	}
	if len(r.filters) == 0 {
		for name, value := range pairs(line) {
			take(name, value)
		}
	}
	for _, filter := range r.filters {
		for _, match := range filter.FindAllSubmatch(line, -1) {
			take(match[1], match[2])
		}
	}
	f.unreadable = f.unreadable || (!matched && r.looksLike(line))
	return f
}

// leadingTime is the time that a line begins with, as Katib understands it: RFC 3339, up to the first space.
func leadingTime(line []byte) time.Time {
	first, _, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(first) < len("2006-01-02T15:04:05Z") || len(first) > 64 {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, string(first))
	if err != nil {
		return time.Time{}
	}
	return t
}

// looksLike says whether a wanted name stands in a line as if a value followed: "loss: 0.5", "loss = high". A word in a
// sentence is no metric.
func (r *Reader) looksLike(line []byte) bool {
	for _, name := range r.names {
		for rest, before := line, byte(' '); ; {
			i := bytes.Index(rest, name)
			if i < 0 {
				break
			}
			if i > 0 {
				before = rest[i-1]
			}
			rest = rest[i+len(name):]
			after := bytes.TrimLeft(rest, " \t\"'")
			if !isWord(before) && len(after) > 1 && (after[0] == ':' || after[0] == '=') {
				return true
			}
			before = name[len(name)-1]
		}
	}
	return false
}
