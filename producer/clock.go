package producer

import "time"

// lastYear is from when on a given time is not followed: what comes after it would leave the contract's range.
const lastYear = 9999

// clock gives events their times, so that Katib's order by time is the order of reporting: each is at least 1 µs after
// the one before, in the microseconds that Katib DB keeps.
type clock struct {
	last time.Time
}

// stamp is the time of an event that is reported now, and the clock after it. A time that the caller gives is kept; what
// is stamped later lies behind it.
func (c clock) stamp(given, now time.Time) (time.Time, clock) {
	if given.IsZero() {
		t := now.UTC().Truncate(time.Microsecond)
		if !t.After(c.last) {
			t = c.last.Add(time.Microsecond)
		}
		return t, clock{last: t}
	}
	up := given.UTC().Truncate(time.Microsecond)
	if up.Before(given) {
		up = up.Add(time.Microsecond)
	}
	if up.After(c.last) && up.Year() < lastYear {
		c.last = up
	}
	return given, c
}
