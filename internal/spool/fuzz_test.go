package spool

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Whatever lies in a folder under whatever name: listing and claiming give what reading gives, a note is found again, and
// nothing but the claimed file goes.
func FuzzFolder(f *testing.F) {
	files, err := filepath.Glob("testdata/*.spool")
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("me-1.spool", data, false)
	}
	for _, name := range []string{"me-1.spool.aside", "-.spool", "me-99999999999999999999.spool.tmp", ".spool.spool", "notes.txt", "a\nb-1.spool", "me-2.spool"} {
		f.Add(name, []byte(magic), true)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte, aside bool) {
		folder := openFolder(t, 0)
		path := filepath.Join(folder.Dir(), name)
		if name == "neighbour-1.spool" || filepath.Dir(path) != folder.Dir() || os.WriteFile(path, data, 0o600) != nil {
			return
		}
		neighbour := filepath.Join(folder.Dir(), "neighbour-1.spool")
		if err := os.WriteFile(neighbour, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := folder.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if file.Name == name && file.Bytes == int64(len(data)) {
				deliver(t, folder, file, aside)
			}
		}
		if left, err := os.ReadFile(neighbour); err != nil || string(left) != "mine" {
			t.Errorf("another file is now %q, %v", left, err)
		}
		if left, err := os.ReadFile(path); !isSpools(name) && (err != nil || string(left) != string(data)) {
			t.Errorf("a file of somebody's own is now %q, %v", left, err)
		}
	})
}

// isSpools says whether a name is one of the spool's.
func isSpools(name string) bool { return strings.Contains(name, suffix) }

// deliver does with a file what a producer does with what a dead one left.
func deliver(t *testing.T, folder *Folder, file File, aside bool) {
	t.Helper()
	seen, held, inspectErr := folder.Inspect(file.Name)
	s, err := folder.Claim(file.Name)
	if err != nil || held {
		t.Fatalf("nobody holds %q, and it is not to be had: %v", file.Name, err)
	}
	defer s.Close()
	if _, err := folder.Claim(file.Name); !errors.Is(err, ErrLocked) {
		t.Errorf("another claims it, too: %v", err)
	}
	c, err := s.Read()
	if (err == nil) != (inspectErr == nil) || err != nil && !errors.Is(err, ErrNotSpool) || !reflect.DeepEqual(c, seen) {
		t.Fatalf("claimed it is %+v, %v; inspected %+v, %v", c, err, seen, inspectErr)
	}
	if err == nil {
		settle(t, folder, s, file.Name, c)
	}
	if !aside {
		err = s.Remove()
	} else {
		err = s.Aside()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(folder.Dir(), file.Name)); !errors.Is(err, os.ErrNotExist) && !(aside && file.Aside) {
		t.Errorf("it is still there: %v", err)
	}
}

// settle notes that each message is stored.
func settle(t *testing.T, folder *Folder, s *Segment, name string, before Content) {
	t.Helper()
	for _, m := range before.Messages {
		if err := s.Settle(m.Number); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := folder.Inspect(name)
	if n, _ := c.Unsettled(); err != nil || n > 0 || len(c.Messages) != len(before.Messages) {
		t.Errorf("after notes of all it is %+v, %v; before %+v", c, err, before)
	}
}
