package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// leave writes a file of the spool with a message for each event, of which the first are settled, as a process that died
// would leave it.
func leave(t testing.TB, dir, producer string, events, settled int) string {
	t.Helper()
	s := hold(t, dir, producer, events, settled)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.Path()
}

func hold(t testing.TB, dir, producer string, events, settled int) *spool.Segment {
	t.Helper()
	folder, err := spool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := folder.Create(spool.Description{Namespace: "team-a", Trial: "t", Producer: producer}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range events {
		if !s.AppendEvent(uint64(n+1), fmt.Appendf(nil, `{"metrics":{"loss":%d}}`+"\n", n)) {
			t.Fatal("no room")
		}
	}
	for n := range settled {
		if err := s.Settle(uint64(n + 1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// damage changes a byte of a file's first event.
func damage(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[strings.Index(string(data), "loss")] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSpoolList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	leave(t, dir, "left", 5, 2)
	living := hold(t, dir, "living", 1, 0)
	defer living.Close()
	damage(t, leave(t, dir, "damaged", 3, 0))
	if err := os.Rename(leave(t, dir, "refused", 1, 0), filepath.Join(dir, "refused-1.spool.aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "foreign-1.spool"), []byte("no spool file"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := katibStream(t, "spool", "ls", dir)
	if got.status != statusOK || got.stderr != "" {
		t.Fatal(got)
	}
	for file, want := range map[string]string{
		"left-1.spool":          "team-a t left-1.spool left behind 3",
		"living-1.spool":        "team-a t living-1.spool live 1",
		"damaged-1.spool":       "damaged",
		"refused-1.spool.aside": "team-a t refused-1.spool.aside aside 1",
		"foreign-1.spool":       "not a spool file",
	} {
		if line := lineWith(got.stdout, file); !strings.Contains(strings.Join(strings.Fields(line), " "), want) {
			t.Errorf("%q does not say %q", line, want)
		}
	}
	var files []map[string]any
	if got := katibStream(t, "spool", "ls", dir, "-o", "json"); json.Unmarshal([]byte(got.stdout), &files) != nil || len(files) != 5 || files[2]["trial"] != "t" {
		t.Error(got)
	}
	if got := katibStreamWith(t, map[string]string{"KATIB_STREAM_SPOOL": t.TempDir()}, "", "spool", "ls"); !strings.Contains(got.stdout, "nothing is left in") {
		t.Error(got)
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

func TestSpoolSend(t *testing.T) {
	t.Parallel()
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	makeStreams(t, js)
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	leave(t, dir, "left", 5, 2)
	leave(t, dir, "done", 2, 2)
	living := hold(t, dir, "living", 1, 0)
	defer living.Close()
	got := katibStream(t, "spool", "send", dir, "--server", url)
	if got.status != statusOK || got.stdout != "delivered 3 events of 2 files; 1 file of living processes left to them\n" || got.stderr != "" {
		t.Error(got)
	}
	for n := uint64(3); n <= 5; n++ {
		msg, err := stream.GetMsg(t.Context(), n-2)
		if err != nil || msg.Header.Get("Nats-Msg-Id") != fmt.Sprintf("left:%d", n) || msg.Subject != "katib.metrics.team-a.t.left" {
			t.Errorf("message %d: %v, %v", n, msg, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("there are %v", files)
	}
	if got := katibStream(t, "spool", "send", dir, "--server", url, "-o", "json"); got.status != statusOK || !strings.Contains(got.stdout, `"living-1.spool"`) {
		t.Error(got)
	}
}

func TestSpoolSendLeavesSomething(t *testing.T) {
	t.Parallel()
	t.Run("damaged", func(t *testing.T) {
		t.Parallel()
		url := testserver.NATS(t).URL()
		makeStreams(t, connect(t, url))
		dir := t.TempDir()
		damage(t, leave(t, dir, "damaged", 3, 0))
		got := katibStream(t, "spool", "send", dir, "--server", url)
		if got.status != statusError || got.stdout != "delivered 2 events of 1 file\n" || !strings.Contains(got.stderr, "set aside: it is damaged") {
			t.Error(got)
		}
	})
	t.Run("no stream", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		leave(t, dir, "left", 1, 0)
		got := katibStream(t, "spool", "send", dir, "--server", testserver.NATS(t).URL(), "--timeout", "1s")
		if got.status != statusError || !strings.HasPrefix(got.stderr, "katib-stream: spool send: 1 file of "+dir+" not delivered") || !strings.Contains(got.stderr, "no stream of NATS at") {
			t.Error(got)
		}
	})
}

func TestSpoolBadInput(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x-1.spool")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args   []string
		status int
		text   string
	}{
		"no folder":     {[]string{"ls", "/nowhere"}, statusError, "katib-stream: spool ls: there is no folder /nowhere"},
		"a file":        {[]string{"send", file}, statusError, "is no folder; give the one that the file is in: " + filepath.Dir(file)},
		"two folders":   {[]string{"ls", "a", "b"}, statusUsage, `it takes one folder, but was given "b" as well`},
		"wrong command": {[]string{"list"}, statusUsage, `there is no command "list"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := katibStream(t, append([]string{"spool"}, tt.args...)...)
			if got.status != tt.status || !strings.Contains(got.stderr, tt.text) || strings.Count(got.stderr, "\n") != 1 {
				t.Error(got)
			}
		})
	}
}
