// Package notes is what a workload of the chaos test writes down, on its own disk, of what it was promised: a line for each
// event that it is about to report, that was accepted, or refused; for a flush that returned; for a producer that began or
// closed. A line is written at once, so that it survives a kill of its writer.
//
//	s spool     a producer began that keeps what it accepts in a spool ("memory": in memory)
//	r 7         event 7 is about to be reported; numbers go up by 1, over all producers of a trial
//	a 7         it was accepted
//	x 7         it was refused, and is not sent
//	f 7         a flush returned: what was accepted, up to 7, is persisted
//	c           the producer closed: all that it accepted is stored
package notes

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Check is the second metric of an event: it tells whether an event is whole, and is the one that was reported.
func Check(trial string, n int) int {
	return int(crc32.ChecksumIEEE([]byte(trial+"/"+strconv.Itoa(n))) % 1_000_000)
}

// Run is what one producer was promised.
type Run struct {
	Spool    bool
	Accepted []int
	Refused  []int
	// Unsure are events that were reported without an answer: the producer died.
	Unsure []int
	// Flushed is how many of Accepted are promised to be persisted.
	Flushed int
	Closed  bool
}

// Read reads a trial's notes; a file that is not there has none.
func Read(path string) ([]*Run, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read notes: %w", err)
	}
	return Parse(text)
}

// Parse reads notes. A last line without its end is passed over.
func Parse(text []byte) ([]*Run, error) {
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	var runs []*Run
	for line := range bytes.Lines(text) {
		if line[0] == 's' {
			runs = append(runs, &Run{Spool: bytes.Contains(line, []byte("spool"))})
			continue
		}
		if len(runs) == 0 {
			return nil, fmt.Errorf("notes begin with %q", line)
		}
		if err := runs[len(runs)-1].take(line); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

func (r *Run) take(line []byte) error {
	kind := line[0]
	if kind == 'c' {
		r.Closed = true
		return nil
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil {
		return fmt.Errorf("notes have the line %q: %w", line, err)
	}
	switch kind {
	case 'r':
		r.Unsure = append(r.Unsure, n)
	case 'a':
		r.answered(n)
		r.Accepted = append(r.Accepted, n)
	case 'x':
		r.answered(n)
		r.Refused = append(r.Refused, n)
	case 'f':
		r.Flushed = len(r.Accepted)
	default:
		return fmt.Errorf("notes have the line %q", line)
	}
	return nil
}

func (r *Run) answered(n int) {
	if last := len(r.Unsure) - 1; last >= 0 && r.Unsure[last] == n {
		r.Unsure = r.Unsure[:last]
	}
}

// Next is the number of the event after all that the runs tried to report.
func Next(runs []*Run) int {
	next := 0
	for _, r := range runs {
		for _, numbers := range [][]int{r.Accepted, r.Refused, r.Unsure} {
			if len(numbers) > 0 {
				next = max(next, numbers[len(numbers)-1]+1)
			}
		}
	}
	return next
}

// Writer writes notes. It is for one goroutine at a time.
type Writer struct{ file *os.File }

// Begin opens a trial's notes, and notes a producer; next is the number of its first event.
func Begin(path string, spool bool) (w *Writer, next int, err error) {
	runs, err := Read(path)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open notes: %w", err)
	}
	w = &Writer{file}
	if spool {
		return w, Next(runs), w.write("s spool\n")
	}
	return w, Next(runs), w.write("s memory\n")
}

// Report runs one report, with its notes around it.
func (w *Writer) Report(n int, report func() error) error {
	if err := w.write("r %d\n", n); err != nil {
		return err
	}
	if report() != nil {
		return w.write("x %d\n", n)
	}
	return w.write("a %d\n", n)
}

// Flushed notes that a flush returned after event n.
func (w *Writer) Flushed(n int) error { return w.write("f %d\n", n) }

// Closed notes that the producer closed.
func (w *Writer) Closed() error { return w.write("c\n") }

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

func (w *Writer) write(format string, args ...any) error {
	if _, err := fmt.Fprintf(w.file, format, args...); err != nil {
		return fmt.Errorf("write notes: %w", err)
	}
	return nil
}

// Lines reads whole lines of a file that grows.
type Lines struct {
	file *os.File
	rest []byte
}

// Follow opens a file that grows.
func Follow(path string) (*Lines, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &Lines{file: file}, nil
}

// Next gives the lines that came since the last call.
func (l *Lines) Next() ([]string, error) {
	chunk := make([]byte, 64<<10)
	n, err := l.file.Read(chunk)
	if n == 0 {
		return nil, ignoreEnd(err)
	}
	l.rest = append(l.rest, chunk[:n]...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	lines := strings.Split(string(l.rest[:end]), "\n")
	l.rest = slices.Clone(l.rest[end:])
	return lines[:len(lines)-1], nil
}

// Close closes the file.
func (l *Lines) Close() error { return l.file.Close() }

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
