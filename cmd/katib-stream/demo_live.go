package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/term"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// display shows what goes on: lines that stay and, on a terminal, a last line that changes.
type display struct {
	out      io.Writer
	terminal *os.File // nil when out is none
	began    time.Time

	mu       sync.Mutex
	shown    bool             // the last line is one that changes
	running  map[string]state // of the trials that train now
	reported int              // events seen in the stream
}

// state is how far a trial is.
type state struct {
	step     int64
	accuracy string
}

// newDisplay shows on standard output, or on standard error when JSON is wanted on the other.
func (a *app) newDisplay(format cli.Format) *display {
	s := &display{out: a.stdout, began: time.Now(), running: map[string]state{}}
	if format == cli.JSON {
		s.out = a.stderr
	}
	if file, ok := s.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.terminal = file
	}
	return s
}

func (s *display) elapsed() time.Duration { return time.Since(s.began) }

// say adds a line that stays.
func (s *display) say(format string, args ...any) {
	s.line(fmt.Sprintf("%5.1fs  ", s.elapsed().Seconds()) + fmt.Sprintf(format, args...))
}

// more adds to what was said last.
func (s *display) more(format string, args ...any) {
	s.line(strings.Repeat(" ", 8) + fmt.Sprintf(format, args...))
}

func (s *display) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.out, text)
}

// clear removes the line that changes.
func (s *display) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *display) wipe() {
	if s.shown {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.shown = false
	}
}

func (s *display) begin(trial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[trial] = state{accuracy: "-"}
}

func (s *display) end(trial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, trial)
}

// watch follows the stream and the database for the line that changes, until stop is called. Without a terminal there is
// no such line.
func (s *display) watch(nc *nats.Conn, db *katibdb.DB) (stop func(), err error) {
	if s.terminal == nil {
		return func() {}, nil
	}
	subscription, err := nc.Subscribe(schema.SubjectPrefix+".>", s.see)
	if err != nil {
		return nil, fmt.Errorf("watch the stream: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.animate(ctx, db)
	}()
	return func() {
		_ = subscription.Unsubscribe() // it ends with the connection in any case
		cancel()
		<-ended
		s.clear()
	}, nil
}

// see notes what a message says.
func (s *display) see(msg *nats.Msg) {
	subject, err := schema.ParseSubject(msg.Subject)
	if err != nil {
		return
	}
	events, err := schema.DecodeEvents(msg.Data)
	if err != nil || len(events) == 0 {
		return
	}
	last := events[len(events)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported += len(events)
	if _, runs := s.running[subject.Trial]; !runs || last.Step == nil {
		return
	}
	for _, m := range last.Metrics {
		if m.Name == "accuracy" {
			s.running[subject.Trial] = state{step: *last.Step, accuracy: fmt.Sprintf("%.5s", m.Value)}
		}
	}
}

// animate draws the line that changes, a few times a second.
func (s *display) animate(ctx context.Context, db *katibdb.DB) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	rows := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if n, err := countRows(ctx, db.SQL()); err == nil {
			rows = n
		}
		s.draw(rows)
	}
}

func (s *display) draw(rows int) {
	width, _, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil {
		width = 80
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%5.1fs  %d events, %d rows", s.elapsed().Seconds(), s.reported, rows)
	for _, trial := range slices.Sorted(maps.Keys(s.running)) {
		text += fmt.Sprintf(" | %s %d: %s", trial, s.running[trial].step, s.running[trial].accuracy)
	}
	s.wipe()
	fmt.Fprintf(s.out, "%.*s", width-1, text)
	s.shown = true
}
