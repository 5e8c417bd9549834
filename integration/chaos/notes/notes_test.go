package notes

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	w, next, err := Begin(path, true)
	if err != nil || next != 0 {
		t.Fatalf("begins at %d (%v); want 0", next, err)
	}
	lines := []error{
		w.Report(0, func() error { return nil }), w.Report(1, func() error { return errors.New("full") }), w.Flushed(1),
		w.Report(2, func() error { return nil }), w.write("r 3\n"), w.write("a"), w.Close(),
	}
	if err := errors.Join(lines...); err != nil {
		t.Fatal(err)
	}
	runs, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &Run{Spool: true, Accepted: []int{0, 2}, Refused: []int{1}, Unsure: []int{3}, Flushed: 1}
	if len(runs) != 1 || !reflect.DeepEqual(runs[0], want) {
		t.Errorf("got %+v; want %+v", runs[0], want)
	}
	if next := Next(runs); next != 4 {
		t.Errorf("goes on at %d; want 4", next)
	}
}

func TestBadNotes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"r 1\n", "s spool\nz 1\n", "s spool\nr x\n"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is read without an error", text)
		}
	}
}
