package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBound(t *testing.T) {
	f := openFolder(t, 2*SegmentBytes)
	first := create1(t, f, 1)
	if err := create1(t, f, 2).Aside(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(described, 3, 0); !errors.Is(err, ErrBound) || !strings.Contains(err.Error(), "take 2097152 bytes, and may take 2097152") {
		t.Errorf("beyond the bound: %v", err)
	}
	if files, err := f.List(); err != nil || len(files) != 2 {
		t.Errorf("%+v, %v", files, err)
	}
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	create1(t, f, 3)
}

func TestCreateWithoutAFolder(t *testing.T) {
	f := openFolder(t, 0)
	if err := os.Remove(f.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(described, 1, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, 0); err == nil {
		t.Error("a file passes for a folder")
	}
	if _, err := Look(file).List(); err == nil {
		t.Error("a file can be listed")
	}
}

func TestFolderIsItsOwners(t *testing.T) {
	f := openFolder(t, 0)
	s := create1(t, f, 1)
	for path, want := range map[string]os.FileMode{f.Dir(): 0o700, s.Path(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestDefaultFolder(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, dir string) error
		safe    bool
	}{
		"not there":        {func(*testing.T, string) error { return nil }, true},
		"ours":             {func(_ *testing.T, dir string) error { return os.Mkdir(dir, 0o700) }, true},
		"others may write": {func(_ *testing.T, dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) }, false},
		"a link":           {func(t *testing.T, dir string) error { return os.Symlink(t.TempDir(), dir) }, false},
		"another's": {func(_ *testing.T, dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534))
		}, false},
	}
	if os.Geteuid() != 0 {
		delete(tests, "another's") // only root can make one
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			if err := test.prepare(t, DefaultDir()); err != nil {
				t.Fatal(err)
			}
			_, err := Open(DefaultDir(), 0)
			if test.safe != (err == nil) || !test.safe && !errors.Is(err, ErrUnsafe) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestList(t *testing.T) {
	f := openFolder(t, 0)
	for _, name := range []string{"b-1.spool", "a-10.spool", "a-9.spool", "a-2.spool.aside", "c-1.spool.tmp", "stray.spool", "notes.txt", "a-1.spool.bak"} {
		if err := os.WriteFile(filepath.Join(f.Dir(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(f.Dir(), "d-1.spool"), 0o700), os.Symlink("/etc/passwd", filepath.Join(f.Dir(), "e-1.spool"))); err != nil {
		t.Fatal(err)
	}
	files, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name)
		if file.Aside != strings.HasSuffix(file.Name, "aside") || file.Temporary != strings.HasSuffix(file.Name, "tmp") || file.Bytes != 1 {
			t.Errorf("%+v", file)
		}
	}
	if got, want := strings.Join(names, " "), "a-2.spool.aside a-9.spool a-10.spool b-1.spool c-1.spool.tmp stray.spool"; got != want {
		t.Errorf("it lists %s, want %s", got, want)
	}
}

func TestSweep(t *testing.T) {
	f := openFolder(t, 0)
	old := time.Now().Add(-2 * staleAfter)
	write := func(name string, age time.Time) {
		path := filepath.Join(f.Dir(), name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, age, age)); err != nil {
			t.Fatal(err)
		}
	}
	write("old-1.spool.tmp", old)
	write("held-1.spool.tmp", old)
	write("young-1.spool.tmp", time.Now())
	write("old-1.spool", old)
	held, err := f.Claim("held-1.spool.tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := f.Sweep(); err != nil {
		t.Fatal(err)
	}
	files, err := f.List()
	if err != nil || len(files) != 3 {
		t.Errorf("%+v, %v", files, err)
	}
}
