package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// source gives one event after the other to report. It returns the first error of its own, or of report.
type source interface {
	each(ctx context.Context, report func(schema.Event) error) error
}

// single is one event.
type single struct{ event schema.Event }

func (s *single) each(_ context.Context, report func(schema.Event) error) error {
	return report(s.event)
}

// lines are events, one a line.
type lines struct{ in io.Reader }

// maxLine is far more than the largest message; longer lines are refused without being read whole.
const maxLine = 16 << 20

type line struct {
	number int
	text   []byte
	err    error
}

// each reads until the end, the first bad line, or the end of ctx.
func (l *lines) each(ctx context.Context, report func(schema.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan line)
	// A read that waits for a terminal or a pipe cannot be interrupted: when ctx ends first, this goroutine ends with the
	// process.
	go l.read(ctx, next)
	for {
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case got, ok := <-next:
			if !ok {
				return nil
			}
			if err := got.report(report); err != nil {
				return err
			}
		}
	}
}

func (l *lines) read(ctx context.Context, next chan<- line) {
	defer close(next)
	scanner := bufio.NewScanner(l.in)
	scanner.Buffer(nil, maxLine)
	number := 0
	send := func(text []byte, err error) bool {
		select {
		case next <- line{number: number, text: text, err: err}:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for scanner.Scan() {
		number++
		if !send(append([]byte(nil), scanner.Bytes()...), nil) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		number++
		send(nil, err)
	}
}

func (l line) report(report func(schema.Event) error) error {
	if errors.Is(l.err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: longer than %d bytes", l.number, maxLine)
	}
	if l.err != nil {
		return fmt.Errorf("read line %d: %w", l.number, l.err)
	}
	events, err := schema.DecodeEvents(l.text)
	var broken *schema.Error
	if errors.As(err, &broken) {
		broken.Line = l.number
		return broken
	}
	for _, event := range events {
		if err := report(event); err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	return err
}

// reportAll hands all events to the producer and counts those that it accepted.
func reportAll(ctx context.Context, p *producer.Producer, events source) (accepted int, err error) {
	err = events.each(ctx, func(event schema.Event) error {
		if err := p.Report(ctx, event); err != nil {
			return err
		}
		accepted++
		return nil
	})
	return accepted, err
}
