package metricline

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

const (
	// mostNames is how many names are remembered that nobody asked for, and longestName how long they are at most, in bytes.
	mostNames   = 100
	longestName = 100
	// lookedAt is how many bytes of lines without a wanted name are read for the sake of the names in them.
	lookedAt = 256 << 10
	// shortestPart is how long a name is, in bytes, that is worth a word when it is part of another.
	shortestPart = 3
)

// seen is which names stood in lines, to be told to who waits for one in vain.
type seen struct {
	wanted map[string]bool // with a number
	others map[string]bool
	left   int // of lookedAt
}

func newSeen() seen {
	return seen{wanted: map[string]bool{}, others: map[string]bool{}, left: lookedAt}
}

// spend says whether a line of so many bytes is worth a look. The first ones are: names stand in every line like it.
func (s *seen) spend(size int) bool {
	if size > s.left {
		return false
	}
	s.left -= size
	return true
}

func (s *seen) other(name []byte) {
	if len(s.others) < mostNames && len(name) > 0 && len(name) <= longestName && !s.others[string(name)] {
		s.others[string(name)] = true
	}
}

// Missing are the wanted names that no line had a number for, sorted, and others the names that stood in lines instead:
// those that are like a missing one first.
func (r *Reader) Missing() (missing, others []string) {
	for name := range maps.Keys(r.wanted) {
		if !r.seen.wanted[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	slices.Sort(missing)
	others = slices.Sorted(maps.Keys(r.seen.others))
	slices.SortStableFunc(others, func(a, b string) int { return cmp.Compare(distance(a, missing), distance(b, missing)) })
	return missing, others
}

// distance is 0 for a name that is another way to write one of those that are missing, 1 where one is part of the other,
// and 2 for the rest.
func distance(name string, missing []string) int {
	least := 2
	name = plain(name)
	for _, other := range missing {
		other = plain(other)
		switch {
		case name == other:
			return 0
		case min(len(name), len(other)) >= shortestPart && (strings.Contains(name, other) || strings.Contains(other, name)):
			least = 1
		}
	}
	return least
}

// plain leaves out what people write in different ways.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("_-|/. ", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
