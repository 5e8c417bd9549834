package metricline

import (
	"bytes"
	"strings"
	"time"
)

// readText reads a line by the filters.
func (r *Reader) readText(line []byte) found {
	f := found{time: leadingTime(line)}
	matched := false
	for _, filter := range r.filters {
		for _, match := range filter.FindAllSubmatch(line, -1) {
			name := strings.TrimSpace(string(match[1]))
			matched = matched || len(r.wanted) == 0 || r.wanted[name]
			r.take(&f, name, strings.TrimSpace(string(match[2])))
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
		for rest := line; ; {
			i := bytes.Index(rest, name)
			if i < 0 {
				break
			}
			before := i == 0 || !isWord(rest[i-1])
			after := bytes.TrimLeft(rest[i+len(name):], " \t\"'")
			if before && len(after) > 1 && (after[0] == ':' || after[0] == '=') {
				return true
			}
			rest = rest[i+len(name):]
		}
	}
	return false
}

func isWord(c byte) bool {
	return c == '_' || c == '-' || c == '|' || (c >= '0' && c <= '9') || (c|0x20 >= 'a' && c|0x20 <= 'z')
}
