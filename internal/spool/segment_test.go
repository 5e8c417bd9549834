package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func openFolder(t testing.TB, limit int64) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "spool"), limit)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func create1(t testing.TB, f *Folder, index int) *Segment {
	t.Helper()
	s, err := f.Create(described, index, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// apply does what a vector says.
func apply(t testing.TB, s *Segment, op operation) {
	t.Helper()
	var err error
	switch op.Op {
	case "event":
		if !s.AppendEvent(op.Number, []byte(op.Line)) {
			t.Fatal("there is no room for an event")
		}
	case "split":
		err = s.Split(op.Number, op.Keep, op.Rest)
	case "settled":
		err = s.Settle(op.Number)
	case "final":
		err = s.Final(op.Number)
	default:
		t.Fatalf("unknown operation %q", op.Op)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The files of testdata are what a Segment writes, and zeros come behind it.
func TestWritesVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, v := range all.Vectors {
		if v.Writes == nil {
			continue
		}
		written++
		t.Run(v.Name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", v.File))
			if err != nil {
				t.Fatal(err)
			}
			s := create1(t, openFolder(t, 0), 1)
			for _, op := range v.Writes {
				apply(t, s, op)
			}
			got, err := os.ReadFile(s.Path())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
				t.Errorf("it wrote %q", bytes.TrimRight(got, "\x00"))
			}
			if len(got) != SegmentBytes {
				t.Errorf("the file has %d bytes", len(got))
			}
		})
	}
	if written < 15 {
		t.Errorf("only %d vectors can be written", written)
	}
}

// A record is the same wherever it is written, over a torn end, too.
func TestPutRecordOverARest(t *testing.T) {
	room := bytes.Repeat([]byte{0xff}, recordBytes(len(line(10))))
	putRecord(room, kindEvent, 7, []byte(line(10)))
	if !bytes.Equal(room, raw(kindEvent, 7, []byte(line(10)))) {
		t.Errorf("%q", room)
	}
}

// What is appended to a full segment, and to one that takes no more events, is as good as what lies in the page.
func TestNotesGrowTheFile(t *testing.T) {
	s := create1(t, openFolder(t, 0), 1)
	number := uint64(0)
	for s.AppendEvent(number+1, []byte(line(1))) {
		number++
	}
	for n := uint64(1); n <= number; n++ {
		if n == number/2 {
			if err := s.Finish(); err != nil {
				t.Fatal(err)
			}
		}
		apply(t, s, operation{Op: "settled", Number: n})
	}
	if s.AppendEvent(number, []byte("x\n")) {
		t.Error("a finished segment takes an event")
	}
	data, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(data)
	if messages, _ := c.Unsettled(); err != nil || len(c.Messages) != int(number) || messages != 0 || c.Damaged || c.Torn {
		t.Errorf("%v: %d messages of %d, %d unsettled, %+v", err, len(c.Messages), number, messages, c.Description)
	}
	if len(data) <= SegmentBytes {
		t.Errorf("the file has not grown: %d bytes", len(data))
	}
}

func TestLargeEvent(t *testing.T) {
	f := openFolder(t, 0)
	large := append(bytes.Repeat([]byte("x"), 3*SegmentBytes), '\n')
	s, err := f.Create(described, 1, len(large))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if !s.AppendEvent(1, large) || s.AppendEvent(1, []byte("x\n")) {
		t.Error("the file is not just as large as the event needs")
	}
	if create1(t, f, 2).AppendEvent(1, large) {
		t.Error("an ordinary file takes it")
	}
}

func TestDescriptionTooLong(t *testing.T) {
	d := described
	d.Trial = string(bytes.Repeat([]byte("x"), maxDescription))
	if _, err := openFolder(t, 0).Create(d, 1, 0); err == nil {
		t.Error("it is written")
	}
	if _, err := openFolder(t, 0).Create(Description{}, 1, 0); err == nil {
		t.Error("an empty one is written")
	}
}

func TestClaim(t *testing.T) {
	f := openFolder(t, 0)
	s := create1(t, f, 1)
	apply(t, s, operation{Op: "event", Number: 1, Line: line(1)})
	name := filepath.Base(s.Path())
	if _, err := f.Claim(name); !errors.Is(err, ErrLocked) {
		t.Errorf("a living one's: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mine, err := f.Claim(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Claim(name); !errors.Is(err, ErrLocked) {
		t.Errorf("a second claim: %v", err)
	}
	if c, err := mine.Read(); err != nil || len(c.Messages) != 1 {
		t.Errorf("%v, %v", c, err)
	}
	apply(t, mine, operation{Op: "settled", Number: 1})
	c, held, err := f.Inspect(name)
	if messages, _ := c.Unsettled(); messages != 0 || !held || err != nil {
		t.Errorf("%d unsettled, held %v, %v", messages, held, err)
	}
	if err := mine.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Claim(name); !errors.Is(err, ErrGone) {
		t.Errorf("when it is gone: %v", err)
	}
}

// Who waits at the door while another delivers a file gets the lock of a file that is gone.
func TestTakeOfAFileThatIsGone(t *testing.T) {
	f := openFolder(t, 0)
	s := create1(t, f, 1)
	late, err := openAgain(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := take(late, s.Path()); !errors.Is(err, ErrGone) {
		t.Errorf("nothing has its name: %v", err)
	}
	create1(t, f, 1)
	if err := take(late, s.Path()); !errors.Is(err, ErrGone) {
		t.Errorf("another has its name: %v", err)
	}
}

func TestAside(t *testing.T) {
	f := openFolder(t, 0)
	s := create1(t, f, 1)
	for range 2 {
		if err := s.Aside(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := f.List()
	if err != nil || len(files) != 1 || !files[0].Aside || files[0].Bytes != SegmentBytes {
		t.Errorf("%+v, %v", files, err)
	}
	apply(t, s, operation{Op: "final", Number: 1})
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if files, err := f.List(); err != nil || len(files) != 0 {
		t.Errorf("%+v, %v", files, err)
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.spool")
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(data)
		if err != nil {
			if !errors.Is(err, ErrNotSpool) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		seen := map[uint64]bool{}
		for _, m := range c.Messages {
			if m.Number == 0 || seen[m.Number] || (m.Events == 0) != (len(m.Body) == 0) || m.Events == 0 && !m.Final {
				t.Errorf("%+v", m)
			}
			seen[m.Number] = true
		}
		// Where a writer would go on, a note is found again.
		if len(c.Messages) == 0 || c.end < headerBytes {
			return
		}
		more := append(bytes.Clone(data[:min(c.end, len(data))]), make([]byte, max(0, c.end-len(data)))...)
		more = append(more, raw(kindSettled, c.Messages[0].Number, nil)...)
		again, err := Read(more)
		if err != nil || len(again.Messages) != len(c.Messages) || !again.Messages[0].Settled || again.Torn {
			t.Errorf("after a note: %v, %+v, was %+v", err, again, c)
		}
	})
}
