package metricline

import "bytes"

// MaxLine is how long a line may be that is read, in bytes; of a longer one only the beginning is.
const MaxLine = 1 << 20

// Splitter cuts what is written to it into lines. They end with a newline or a carriage return, with which progress bars
// begin their line anew. It is not safe for concurrent use.
type Splitter struct {
	line func(line []byte, whole bool)
	part []byte // of a line that has not ended
	over bool   // the line was longer than MaxLine
}

// NewSplitter returns a splitter that calls line with each line, without its end, and whether it is the whole line. The
// line is valid until the call returns.
func NewSplitter(line func(line []byte, whole bool)) *Splitter {
	return &Splitter{line: line}
}

// Write takes output. It never fails.
func (s *Splitter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.keep(s.returns(p))
			return n, nil
		}
		s.end(s.returns(p[:end]))
		p = p[end+1:]
	}
}

// returns ends a line at each carriage return, and gives what follows the last one.
func (s *Splitter) returns(p []byte) []byte {
	for {
		end := bytes.IndexByte(p, '\r')
		if end < 0 {
			return p
		}
		s.end(p[:end])
		p = p[end+1:]
	}
}

func (s *Splitter) keep(p []byte) {
	if room := MaxLine - len(s.part); len(p) > room {
		p, s.over = p[:room], true
	}
	s.part = append(s.part, p...)
}

func (s *Splitter) end(p []byte) {
	if len(s.part) > 0 || len(p) > MaxLine {
		s.keep(p)
		p = s.part
	}
	if len(p) > 0 {
		s.line(p, !s.over)
	}
	s.part, s.over = s.part[:0], false
	if cap(s.part) > MaxLine/16 {
		s.part = nil
	}
}

// Close takes what was written last for a line, too. More may be written after it, which begins another line.
func (s *Splitter) Close() { s.end(nil) }
