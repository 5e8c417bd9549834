package producer

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// smallDisk is a folder on a disk of its own that has room for two files and nothing more, or, for a user who may not have
// that, one whose bound says so.
func smallDisk(t *testing.T) (dir string, bound int64) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2240k"); err != nil {
		return dir, 2 * spool.SegmentBytes
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, 0
}

// fill takes what is left of a disk; the files of a spool then cannot grow.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for chunk := bytes.Repeat([]byte("x"), 4096); err == nil; {
		_, err = file.Write(chunk)
	}
}

// A disk that is full ends neither the process nor delivery. Messages are too large for this stream, so that splits must be
// noted where there is no room: the files are set aside before the halves are sent, and go when all is stored.
func TestSpoolOnAFullDisk(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 20_000 })
	s.Stop()
	dir, bound := smallDisk(t)
	var log journal
	p := newProducer(t, connect(t, s.URL()), Config{Spool: dir, SpoolBytes: bound, Logger: log.logger()})
	const events = 50_000
	report(t, p, 0, events)
	if log.count("the spool takes no more") != 1 {
		t.Errorf("the log:\n%s", log.text.String())
	}
	if bound == 0 {
		if log.count("no space left on device") != 1 {
			t.Errorf("the log does not say why:\n%s", log.text.String())
		}
		fill(t, filepath.Join(dir, "junk"))
	}
	s.Start()
	closeNow(t, p)
	if messages := readStream(t, stream); eventCount(messages) != events {
		t.Errorf("the stream holds %d events", eventCount(messages))
	}
	for _, name := range filesIn(t, dir) {
		if name != "junk" {
			t.Errorf("left: %s", name)
		}
	}
	if bound == 0 && log.count("the spool cannot be kept") != 1 {
		t.Errorf("it was no test of splits that cannot be noted:\n%s", log.text.String())
	}
}
