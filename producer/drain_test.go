package producer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// deadID is the producer of the files that these tests make.
const deadID = "0193d5a1b2c37d4e8f00112233445566"

func lineOf(value int) []byte {
	return fmt.Appendf(nil, `{"time":"2026-11-24T12:00:00.%06dZ","metrics":{"n":%d}}`+"\n", value, value)
}

// leftFile makes a file that a dead process left, and gives its name.
func leftFile(t testing.TB, dir string, d spool.Description, index int, write func(*spool.Segment) error) string {
	t.Helper()
	folder, err := spool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d.Producer == "" {
		d = spool.Description{Namespace: "default", Trial: "my-trial", Producer: deadID}
	}
	segment, err := folder.Create(d, index, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(segment), segment.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(segment.Path())
}

// withEvents writes the values as one message.
func withEvents(number uint64, values ...int) func(*spool.Segment) error {
	return func(s *spool.Segment) error {
		for _, value := range values {
			if !s.AppendEvent(number, lineOf(value)) {
				return errors.New("no room")
			}
		}
		return nil
	}
}

func all(writes ...func(*spool.Segment) error) func(*spool.Segment) error {
	return func(s *spool.Segment) error {
		for _, write := range writes {
			if err := write(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func note(write func(*spool.Segment) error) func(*spool.Segment) error { return write }

func drainNow(t testing.TB, nc *nats.Conn, cfg DrainConfig) DrainResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := Drain(ctx, nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// storedValues are the values in the stream, in order, with the number of their message and a * where that is final.
func storedValues(t testing.TB, stream jetstream.Stream) []string {
	t.Helper()
	var values []string
	for _, m := range readStream(t, stream) {
		final := ""
		if m.Final {
			final = "*"
		}
		if len(m.Events) == 0 {
			values = append(values, fmt.Sprintf("%d%s:", m.Identity.Number, final))
		}
		for _, e := range m.Events {
			values = append(values, fmt.Sprintf("%d%s:%s", m.Identity.Number, final, e.Metrics[0].Value))
		}
	}
	return values
}

func TestDrain(t *testing.T) {
	tests := []struct {
		name  string
		write func(*spool.Segment) error
		want  []string
	}{
		{"nothing", all(), nil},
		{"messages", all(withEvents(1, 1, 2), withEvents(2, 3)), []string{"1:1", "1:2", "2:3"}},
		{"one is settled", all(withEvents(1, 1), withEvents(2, 2), note(func(s *spool.Segment) error { return s.Settle(1) })), []string{"2:2"}},
		{"all are settled", all(withEvents(1, 1), note(func(s *spool.Segment) error { return s.Settle(1) })), nil},
		{"final", all(withEvents(1, 1), withEvents(2, 2), note(func(s *spool.Segment) error { return s.Final(2) })), []string{"1:1", "2*:2"}},
		{"final without events", all(withEvents(1, 1), note(func(s *spool.Segment) error { return s.Final(2) })), []string{"1:1", "2*:"}},
		{"final comes last", all(withEvents(1, 1, 2), note(func(s *spool.Segment) error { return s.Final(2) }), note(func(s *spool.Segment) error { return s.Split(1, 1, 3) })), []string{"1:1", "3:2", "2*:"}},
		{"split", all(withEvents(1, 1, 2, 3), note(func(s *spool.Segment) error { return s.Split(1, 2, 4) })), []string{"1:1", "1:2", "4:3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			stream := makeStream(t, nc)
			dir := t.TempDir()
			leftFile(t, dir, spool.Description{}, 1, test.write)
			result := drainNow(t, nc, DrainConfig{Spool: dir, MaxInFlight: 1})
			if got := storedValues(t, stream); !slices.Equal(got, test.want) {
				t.Errorf("the stream holds %v, want %v", got, test.want)
			}
			if result.Files != 1 || len(result.Left) != 0 || len(filesIn(t, dir)) != 0 {
				t.Errorf("%+v, left: %v", result, filesIn(t, dir))
			}
		})
	}
}

// A process that died between the halves of a split message, or before it could note what the stream has.
func TestDrainAfterASplit(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	dir := t.TempDir()
	leftFile(t, dir, spool.Description{}, 1, all(withEvents(1, 1, 2, 3, 4), note(func(s *spool.Segment) error { return s.Split(1, 2, 2) })))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	subject := schema.Subject{Namespace: "default", Trial: "my-trial", Producer: deadID}.String()
	if _, err := js.Publish(t.Context(), subject, append(lineOf(1), lineOf(2)...), jetstream.WithMsgID(schema.MessageID(deadID, 1))); err != nil {
		t.Fatal(err)
	}
	result := drainNow(t, nc, DrainConfig{Spool: dir})
	if got, want := storedValues(t, stream), []string{"1:1", "1:2", "2:3", "2:4"}; !slices.Equal(got, want) {
		t.Errorf("the stream holds %v, want %v", got, want)
	}
	if result.Events != 4 || result.Messages != 2 || len(filesIn(t, dir)) != 0 {
		t.Errorf("%+v, left: %v", result, filesIn(t, dir))
	}
}

func damage(t testing.TB, dir, name string, at int) {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDrainSetsAside(t *testing.T) {
	big := func(s *spool.Segment) error {
		if !s.AppendEvent(2, fmt.Appendf(nil, `{"metrics":{"n":"%s"}}`+"\n", strings.Repeat("x", 2000))) {
			return errors.New("no room")
		}
		return nil
	}
	tests := []struct {
		name  string
		write func(*spool.Segment) error
		spoil func(t testing.TB, dir, name string)
		want  []string
		says  string
	}{
		{"too large, and it may be stored", all(withEvents(1, 1), big, withEvents(3, 3)), nil, []string{"1:1", "3:3"}, "it holds what can never be delivered"},
		// Who split it would report its first events twice, if the stream holds the whole.
		{"too large, of several events", all(withEvents(1, 1), withEvents(2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)), nil, []string{"1:1"}, "it holds what can never be delivered"},
		{"damaged", all(withEvents(1, 1), withEvents(2, 2)), func(t testing.TB, dir, name string) { damage(t, dir, name, 150) }, []string{"2:2"}, "it is damaged"},
		{"damaged, nothing to send", all(withEvents(1, 1), withEvents(2, 2), note(func(s *spool.Segment) error { return s.Settle(2) })), func(t testing.TB, dir, name string) { damage(t, dir, name, 150) }, nil, "it is damaged"},
		{"a bad header", all(withEvents(1, 1)), func(t testing.TB, dir, name string) { damage(t, dir, name, 30) }, nil, "not a spool file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			stream := makeStream(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
			dir := t.TempDir()
			name := leftFile(t, dir, spool.Description{}, 1, test.write)
			if test.spoil != nil {
				test.spoil(t, dir, name)
			}
			var log journal
			result := drainNow(t, nc, DrainConfig{Spool: dir, Logger: log.logger()})
			if got := storedValues(t, stream); !slices.Equal(got, test.want) {
				t.Errorf("the stream holds %v, want %v", got, test.want)
			}
			if files := filesIn(t, dir); len(files) != 1 || files[0] != name+".aside" {
				t.Errorf("in the spool: %v", files)
			}
			if len(result.Left) != 1 || !errors.Is(result.Left[0].Reason, ErrAside) || !strings.Contains(result.Left[0].Reason.Error(), test.says) {
				t.Errorf("%+v does not say %q", result, test.says)
			}
			if log.count("a file of the spool is set aside") != 1 || log.count(test.says) != 1 {
				t.Errorf("the log:\n%s", log.text.String())
			}
			if again := drainNow(t, nc, DrainConfig{Spool: dir}); again.Files != 0 || len(again.Left) != 0 {
				t.Errorf("a second drain: %+v", again)
			}
		})
	}
}

// A name that is no subject must not become one.
func TestDrainRefusesOtherNames(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	dir := t.TempDir()
	leftFile(t, dir, spool.Description{Namespace: "default", Trial: "No Trial>", Producer: "p"}, 1, withEvents(1, 1))
	if result := drainNow(t, nc, DrainConfig{Spool: dir}); len(result.Left) != 1 || !errors.Is(result.Left[0].Reason, ErrAside) {
		t.Errorf("%+v", result)
	}
}

// What this user may not publish stays for another, and does not keep the rest.
func TestDrainNotPermitted(t *testing.T) {
	permissions := server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"katib.metrics.theirs.>"}}}
	s := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "admin", Password: "a"}, {Username: "pod", Password: "p", Permissions: &permissions}}})
	stream := makeStream(t, connect(t, s.URL(), nats.UserInfo("admin", "a")))
	dir := t.TempDir()
	theirs := leftFile(t, dir, spool.Description{Namespace: "theirs", Trial: "t", Producer: "a"}, 1, withEvents(1, 7))
	leftFile(t, dir, spool.Description{Namespace: "ours", Trial: "t", Producer: "b"}, 1, withEvents(1, 8))
	nc := connect(t, s.URL(), nats.UserInfo("pod", "p"))
	result := drainNow(t, nc, DrainConfig{Spool: dir})
	if len(result.Left) != 1 || result.Left[0].Name != theirs || !errors.Is(result.Left[0].Reason, ErrNotPermitted) || result.Files != 1 {
		t.Errorf("%+v", result)
	}
	if got := storedValues(t, stream); !slices.Equal(got, []string{"1:8"}) {
		t.Errorf("the stream holds %v", got)
	}
	var log journal
	p := newProducer(t, nc, Config{Spool: dir, Logger: log.logger()})
	eventually(t, "it says so", func() bool { return log.count("files of dead processes stay in the spool") == 1 })
	closeNow(t, p)
	if log.count("level=WARN") != 1 || !slices.Equal(filesIn(t, dir), []string{theirs}) {
		t.Errorf("left: %v, the log:\n%s", filesIn(t, dir), log.text.String())
	}
}

// Any number of drains, and the living, share a folder.
func TestDrainsShareAFolder(t *testing.T) {
	s := testserver.NATS(t)
	nc := connect(t, s.URL())
	stream := makeStream(t, nc)
	dir := t.TempDir()
	const files = 60
	var want []string
	for i := range files {
		leftFile(t, dir, spool.Description{}, i+1, withEvents(uint64(i+1), i))
		want = append(want, fmt.Sprintf("%d:%d", i+1, i))
	}
	alive := newProducer(t, nc, Config{Namespace: "default", Trial: "my-trial", BatchWait: time.Hour})
	held := filepath.Base(holdFile(t, dir))
	var drains sync.WaitGroup
	var mu sync.Mutex
	var sum DrainResult
	for range 4 {
		other := connect(t, s.URL())
		drains.Go(func() {
			result, err := Drain(t.Context(), other, DrainConfig{Spool: dir})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			sum.Files += result.Files
			sum.Events += result.Events
			sum.Left = append(sum.Left, result.Left...)
		})
	}
	drains.Wait()
	if sum.Files != files || sum.Events != files {
		t.Errorf("together they delivered %d files with %d events", sum.Files, sum.Events)
	}
	for _, left := range sum.Left {
		if !errors.Is(left.Reason, ErrHeld) {
			t.Errorf("%s: %v", left.Name, left.Reason)
		}
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{held}) {
		t.Errorf("left: %v", got)
	}
	got := storedValues(t, stream)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the stream holds %v", got)
	}
	closeNow(t, alive)
}

// holdFile is a file that a living process holds until the test ends.
func holdFile(t testing.TB, dir string) string {
	t.Helper()
	folder, err := spool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := folder.Create(spool.Description{Namespace: "default", Trial: "my-trial", Producer: "alive"}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = segment.Close() })
	segment.AppendEvent(1, lineOf(1))
	return segment.Path()
}

func TestDrainGivesUp(t *testing.T) {
	s := testserver.NATS(t) // without a stream
	nc := connect(t, s.URL())
	dir := t.TempDir()
	first := leftFile(t, dir, spool.Description{}, 1, withEvents(1, 1))
	second := leftFile(t, dir, spool.Description{}, 2, withEvents(2, 2))
	looks := 0
	result := drainNow(t, nc, DrainConfig{Spool: dir, Patience: 300 * time.Millisecond, Progress: func(DrainResult) { looks++ }})
	if len(result.Left) != 2 || result.Left[0].Name != first || result.Left[1].Name != second || !errors.Is(result.Left[1].Reason, nats.ErrNoResponders) {
		t.Errorf("%+v", result)
	}
	if looks == 0 {
		t.Error("no progress is told of")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if result, err := Drain(ended, nc, DrainConfig{Spool: dir}); err != nil || len(result.Left) != 2 || !errors.Is(result.Left[0].Reason, context.Canceled) {
		t.Errorf("%+v, %v", result, err)
	}
	stream := makeStream(t, nc)
	if result := drainNow(t, nc, DrainConfig{Spool: dir}); result.Files != 2 {
		t.Errorf("%+v", result)
	}
	if got := storedValues(t, stream); !slices.Equal(got, []string{"1:1", "2:2"}) {
		t.Errorf("the stream holds %v", got)
	}
	if _, err := Drain(t.Context(), nc, DrainConfig{Spool: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
