package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// abandon ends a producer with what is not stored left behind, as its process's end would.
func abandon(t testing.TB, p *Producer) *UndeliveredError {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var lost *UndeliveredError
	if err := p.Close(ended); !errors.As(err, &lost) {
		t.Fatalf("close: %v", err)
	}
	return lost
}

// filesIn lists the names in a spool.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

func contentOf(t testing.TB, dir, name string) spool.Content {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	c, err := spool.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSpoolIsEmptyWhenAllIsStored(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	dir := t.TempDir()
	var log journal
	p := newProducer(t, nc, Config{Spool: dir, Logger: log.logger()})
	report(t, p, 0, 5000)
	if files := filesIn(t, dir); len(files) != 1 || files[0] != p.ID()+"-1.spool" {
		t.Errorf("in the spool: %v", files)
	}
	closeNow(t, p)
	checkRun(t, stream, p, 5000, true)
	if files := filesIn(t, dir); len(files) != 0 {
		t.Errorf("left in the spool: %v", files)
	}
	if log.text.Len() > 0 {
		t.Errorf("it has something to say:\n%s", log.text.String())
	}
}

func TestNextProducerDeliversTheSpool(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	s.Stop()
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	nc := connect(t, s.URL())
	first := newProducer(t, nc, Config{Spool: dir, BatchEvents: 10, BatchBytes: 400})
	report(t, first, 0, 100)
	lost := abandon(t, first)
	if lost.Events != 100 || lost.Spooled != 100 || lost.Spool != dir || !strings.HasSuffix(lost.Error(), "; the next start delivers them from "+dir+", or `katib-stream spool send "+dir+"`") {
		t.Errorf("close: %v", lost)
	}
	var log journal
	second := newProducer(t, nc, Config{Spool: dir, Logger: log.logger()})
	report(t, second, 100, 101)
	s.Start()
	eventually(t, "it is delivered", func() bool { return log.count("delivered what dead processes left in the spool") == 1 })
	closeNow(t, second)
	if files := filesIn(t, dir); len(files) != 0 {
		t.Errorf("left in the spool: %v", files)
	}
	seen, number := map[string]int{}, uint64(0)
	for _, m := range readStream(t, stream) {
		for _, e := range m.Events {
			seen[e.Metrics[0].Value]++
		}
		if m.Identity.Source != first.ID() {
			continue
		}
		if number++; m.Identity.Number != number || m.Final {
			t.Errorf("message %d of the first has the number %d, final %v", number, m.Identity.Number, m.Final)
		}
	}
	for i := range 101 {
		if seen[fmt.Sprint(i)] != 1 {
			t.Errorf("event %d is there %d times", i, seen[fmt.Sprint(i)])
		}
	}
}

// All events of a message lie in one file, and a file goes when its messages are stored, not before.
func TestSpoolFiles(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	s.Stop()
	dir := t.TempDir()
	p := newProducer(t, connect(t, s.URL()), Config{Spool: dir})
	const events = 40_000
	report(t, p, 0, events)
	files := filesIn(t, dir)
	if len(files) < 3 {
		t.Fatalf("only %v", files)
	}
	found, seen := 0, map[uint64]string{}
	for _, name := range files {
		c := contentOf(t, dir, name)
		for _, m := range c.Messages {
			if other := seen[m.Number]; other != "" {
				t.Errorf("message %d is in %s and %s", m.Number, other, name)
			}
			seen[m.Number] = name
			found += m.Events
		}
		if c.Damaged || c.Torn {
			t.Errorf("%s: damaged %v, torn %v", name, c.Damaged, c.Torn)
		}
	}
	if found != events {
		t.Errorf("%d events in the spool", found)
	}
	s.Start()
	eventually(t, "only the last file is left", func() bool { return len(filesIn(t, dir)) == 1 })
	closeNow(t, p)
	checkRun(t, stream, p, events, true)
}

func TestSpoolWithNoRoom(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	s.Stop()
	dir := t.TempDir()
	var log journal
	p := newProducer(t, connect(t, s.URL()), Config{Spool: dir, SpoolBytes: spool.SegmentBytes, Logger: log.logger()})
	report(t, p, 0, 40_000)
	const complaint = "the spool takes no more; what is reported is in memory only until it does"
	if log.count(complaint) != 1 || log.count("the spool is full: the files in "+dir) != 1 {
		t.Errorf("it does not say once what is wrong:\n%s", log.text.String())
	}
	if files := filesIn(t, dir); len(files) != 1 {
		t.Errorf("in the spool: %v", files)
	}
	s.Start()
	eventually(t, "the file is delivered", func() bool { return len(filesIn(t, dir)) == 0 })
	report(t, p, 40_000, 70_000) // as much as a file takes, and more
	if log.count("the spool takes events again") == 0 {
		t.Errorf("it does not try again:\n%s", log.text.String())
	}
	closeNow(t, p)
	checkRun(t, stream, p, 70_000, true)
	if files := filesIn(t, dir); len(files) != 0 {
		t.Errorf("left in the spool: %v", files)
	}
}

func TestSpoolThatCannotBe(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log journal
	p := newProducer(t, nc, Config{Spool: file, Logger: log.logger()})
	report(t, p, 0, 100)
	closeNow(t, p)
	checkRun(t, stream, p, 100, true)
	if log.count("the spool takes no more") != 1 {
		t.Errorf("the log:\n%s", log.text.String())
	}
}

// What is in memory only is not said to lie in the spool.
func TestSpoolledInPart(t *testing.T) {
	s := testserver.NATS(t)
	s.Stop()
	dir := t.TempDir()
	p := newProducer(t, connect(t, s.URL()), Config{Spool: dir, SpoolBytes: spool.SegmentBytes})
	report(t, p, 0, 20_000)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var left *FlushError
	if err := p.Flush(ctx); !errors.As(err, &left) || left.Spool != dir || left.Spooled == 0 || left.Spooled >= 20_000 {
		t.Errorf("flush: %v", err)
	}
	lost := abandon(t, p)
	c := contentOf(t, dir, filesIn(t, dir)[0])
	_, kept := c.Unsettled()
	if lost.Spooled != kept || lost.Events != 20_000 || kept >= 20_000 {
		t.Errorf("%d events are in the spool: %v", kept, lost)
	}
	where := fmt.Sprintf("; the next start delivers %[1]d of them from %[2]s, or `katib-stream spool send %[2]s`", kept, dir)
	if want := fmt.Sprintf("%s; %d events lost with this process (in memory only)", where, 20_000-kept); !strings.HasSuffix(lost.Error(), want) {
		t.Errorf("%v does not say %q", lost, want)
	}
}

// A message that is too large is split in the spool before either half is sent; what it can never take is set aside.
func TestSpoolSplits(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	dir := t.TempDir()
	var log journal
	p := newProducer(t, nc, Config{Spool: dir, BatchWait: time.Hour, Logger: log.logger()})
	report(t, p, 0, 500)
	if err := p.Report(t.Context(), event(strings.Repeat("x", 1000))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var lost *UndeliveredError
	if err := p.Close(ctx); !errors.As(err, &lost) || lost.Events != 1 || lost.Refused != 1 || lost.Spooled != 0 {
		t.Errorf("close: %v", err)
	}
	files := filesIn(t, dir)
	if len(files) != 1 || !strings.HasSuffix(files[0], ".spool.aside") || log.count("is set aside") != 1 {
		t.Fatalf("in the spool: %v\n%s", files, log.text.String())
	}
	messages := readStream(t, stream)
	if got := eventCount(messages); got != 500 {
		t.Errorf("%d events are stored", got)
	}
	inStream := map[uint64]int{}
	for _, m := range messages {
		inStream[m.Identity.Number] = len(m.Events)
	}
	c := contentOf(t, dir, files[0])
	for _, m := range c.Messages {
		if m.Settled != (m.Events < 2 && !strings.Contains(string(m.Body), "xxx") || m.Events > 1) || m.Settled && inStream[m.Number] != m.Events {
			t.Errorf("message %d: %d events, settled %v; the stream has %d", m.Number, m.Events, m.Settled, inStream[m.Number])
		}
	}
	if messages, events := c.Unsettled(); messages != 1 || events != 1 || c.Damaged {
		t.Errorf("%d messages, %d events unsettled, damaged %v", messages, events, c.Damaged)
	}
}

func TestNoSpool(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"", "none"} {
		p := newProducer(t, connect(t, testserver.NATS(t).URL()), Config{Spool: dir})
		report(t, p, 0, 1)
		if lost := abandon(t, p); lost.Spool != "" || len(filesIn(t, ".")) != 0 {
			t.Errorf("%q: %v, %v", dir, lost, filesIn(t, "."))
		}
	}
}

// The rest of a message that was split has a number behind those of younger messages, for which Flush does not wait.
func TestUnsettledBelow(t *testing.T) {
	var p Producer
	p.delivery.inFlight = []*message{{batch: batch{number: 2}}, {batch: batch{number: 8}}}
	p.buffer.cut = []batch{{number: 3}, {number: 9}}
	p.buffer.open = batch{number: 4, events: 1}
	if got := p.unsettledBelow(7); got != 3 {
		t.Errorf("%d", got)
	}
	if got := p.lost(5, 3); got != 2 {
		t.Errorf("%d are lost", got)
	}
	if got := p.lost(1, 3); got != 0 {
		t.Errorf("%d are lost", got)
	}
}

// splitLot is a file that is full, with one message of three events, of which a producer has just split the last two off.
func splitLot(t *testing.T, spoil func(*lot)) (p *Producer, l *lot, first, rest batch) {
	t.Helper()
	folder, err := spool.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := folder.Create(spool.Description{Namespace: "default", Trial: "my-trial", Producer: deadID}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	l = &lot{Segment: segment}
	t.Cleanup(func() { _ = l.Close() })
	p = &Producer{}
	p.spool = spooling{log: slog.New(slog.DiscardHandler), lots: []*lot{l}}
	var whole batch
	for value := range 3 {
		l.AppendEvent(1, lineOf(value))
		whole.body = append(whole.body, lineOf(value)...)
		whole.events++
	}
	whole.number, whole.lot, p.buffer.number = 1, l, 1
	l.hold()
	if spoil != nil {
		spoil(l)
	}
	m := &message{batch: whole}
	p.split(m)
	return p, l, m.batch, p.buffer.cut[0]
}

// A file is kept as long as one half of a message is not settled.
func TestSpoolKeepsBothHalves(t *testing.T) {
	p, l, first, rest := splitLot(t, nil)
	p.noteSettled(first, true)
	c := contentOf(t, filepath.Dir(l.Path()), filepath.Base(l.Path()))
	if messages, events := c.Unsettled(); messages != 1 || events != rest.events {
		t.Errorf("%+v", c.Messages)
	}
	p.noteSettled(rest, true)
	if files := filesIn(t, filepath.Dir(l.Path())); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

// Nobody may deliver a file that does not know of a split: it would send the whole under the number of its first half.
func TestSpoolSplitThatCannotBeNoted(t *testing.T) {
	p, l, first, rest := splitLot(t, func(l *lot) { _ = l.Close() })
	if files := filesIn(t, filepath.Dir(l.Path())); len(files) != 1 || !strings.HasSuffix(files[0], ".aside") {
		t.Fatalf("in the spool: %v", files)
	}
	p.noteSettled(first, true)
	p.noteSettled(rest, true)
	if files := filesIn(t, filepath.Dir(l.Path())); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}
