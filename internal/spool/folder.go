package spool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultBytes is what all files in a folder may take together.
	DefaultBytes = 256 << 20

	suffix          = ".spool"
	temporarySuffix = ".tmp"
	// staleAfter is how old a file is that nobody will finish making.
	staleAfter = time.Minute
)

// Folder is a folder of spool files, which any number of processes share.
type Folder struct {
	dir   string
	limit int64
}

// DefaultDir is the folder of this user among the temporary files.
func DefaultDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("katib-stream-spool-%d", os.Getuid()))
}

// Open makes the folder if need be, for its owner only. All files in it may take limit bytes together; 0 means DefaultBytes.
// The error is ErrUnsafe when dir is the default folder and others can write to it, ErrUnsupported when the system cannot
// have a spool, and otherwise the system's.
func Open(dir string, limit int64) (*Folder, error) {
	if !supported {
		return nil, fmt.Errorf("open the spool %s: %w", dir, ErrUnsupported)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	f := Look(dir)
	if limit > 0 {
		f.limit = limit
	}
	return f, checkOwner(dir)
}

// Look is a folder that is there already, to list and to claim from.
func Look(dir string) *Folder { return &Folder{dir: dir, limit: DefaultBytes} }

// checkOwner demands of the default folder, whose name anybody can guess, that nobody else made it.
func checkOwner(dir string) error {
	if filepath.Clean(dir) != DefaultDir() {
		return nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("open the spool: %w", err)
	}
	if !info.IsDir() || !ours(info) || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("open the spool: %s is %w; name another", dir, ErrUnsafe)
	}
	return nil
}

// Dir is where the folder is.
func (f *Folder) Dir() string { return f.dir }

// File is a file in the folder.
type File struct {
	Name     string
	Bytes    int64
	Modified time.Time
	// Aside says that it was set aside: nobody delivers it.
	Aside bool
	// Temporary says that somebody is making it, or died while making it.
	Temporary bool

	producer string
	index    int
}

// List is what is in the folder: a producer's files in the order of their indexes, and the older producers first.
func (f *Folder) List() ([]File, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	var files []File
	for _, entry := range entries {
		file, ok := parse(entry.Name())
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list the spool: %w", err)
		}
		file.Bytes, file.Modified = info.Size(), info.ModTime()
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(a.producer, b.producer), cmp.Compare(a.index, b.index), cmp.Compare(a.Name, b.Name))
	})
	return files, nil
}

// parse reads what a name says; ok is false when it is no name of ours.
func parse(name string) (f File, ok bool) {
	f.Name = name
	stem := name
	if stem, f.Aside = strings.CutSuffix(stem, asideSuffix); !f.Aside {
		stem, f.Temporary = strings.CutSuffix(stem, temporarySuffix)
	}
	stem, ok = strings.CutSuffix(stem, suffix)
	f.producer = stem
	if i := strings.LastIndexByte(stem, '-'); i >= 0 {
		f.producer = stem[:i]
		f.index, _ = strconv.Atoi(stem[i+1:]) // another name comes first, and is told by what is in the file
	}
	return f, ok
}

// fits says whether the folder may take so many bytes more.
func (f *Folder) fits(size int) error {
	files, err := f.List()
	if err != nil {
		return err
	}
	held := int64(0)
	for _, file := range files {
		held += file.Bytes
	}
	if held+int64(size) > f.limit {
		return fmt.Errorf("%w: the files in %s take %d bytes, and may take %d", ErrBound, f.dir, held, f.limit)
	}
	return nil
}

// Sweep removes what is left of files that somebody began to make and did not finish.
func (f *Folder) Sweep() error {
	files, err := f.List()
	if err != nil {
		return err
	}
	var failed []error
	for _, file := range files {
		if !file.Temporary || time.Since(file.Modified) < staleAfter {
			continue
		}
		s, err := f.Claim(file.Name)
		if errors.Is(err, ErrLocked) || errors.Is(err, ErrGone) {
			continue
		}
		if err == nil {
			err = s.Remove()
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Inspect reads a file without its lock, and says whether a living process holds it. What such a process is just writing
// can look torn or damaged.
func (f *Folder) Inspect(name string) (c Content, held bool, err error) {
	path := filepath.Join(f.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return c, false, fmt.Errorf("read the spool: %w", err)
	}
	if held, err = isHeld(path); err != nil {
		return c, false, err
	}
	c, err = Read(data)
	return c, held, err
}
