package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/katib-stream/katib-stream/internal/metricline"
)

// followEvery is the pause between looks at a file.
const followEvery = 100 * time.Millisecond

// fileFollower reads what is written to a file, also when it is made later, truncated or replaced.
type fileFollower struct {
	path string
	to   *metricline.Splitter
	file *os.File
	read int64 // bytes
}

// checkFollowed refuses what is there already and can never be followed.
func checkFollowed(paths []string) error {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("--file %s is no regular file", path)
		}
	}
	return nil
}

// newFileFollower begins at the file's present end: what stands there is of an earlier run.
func newFileFollower(path string, to *metricline.Splitter) (*fileFollower, error) {
	f := &fileFollower{path: path, to: to}
	if !f.open() {
		return f, nil
	}
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		f.file.Close()
		return nil, fmt.Errorf("find the end of %s: %w", path, err)
	}
	f.read = end
	return f, nil
}

// run reads until done is closed, and then once more to the end.
func (f *fileFollower) run(done <-chan struct{}) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		f.look()
		select {
		case <-ticker.C:
		case <-done:
			f.look()
			f.close()
			return
		}
	}
}

func (f *fileFollower) look() {
	if f.file == nil && !f.open() {
		return
	}
	f.copy()
	if !f.replaced() {
		return
	}
	f.copy() // what came before it was replaced
	f.close()
	if f.open() {
		f.copy()
	}
}

func (f *fileFollower) open() bool {
	// Opening something else than a file could take for ever, and so could reading it.
	if info, err := os.Stat(f.path); err != nil || !info.Mode().IsRegular() {
		return false // not there yet
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false
	}
	f.file, f.read = file, 0
	return true
}

// copy reads up to the present end, however fast the file grows.
func (f *fileFollower) copy() {
	info, err := f.file.Stat()
	if err != nil {
		return // it is met again, or the file is replaced
	}
	if info.Size() < f.read { // truncated
		f.to.Close()
		f.read, _ = f.file.Seek(0, io.SeekStart)
	}
	n, _ := io.CopyN(f.to, f.file, info.Size()-f.read)
	f.read += n
}

// replaced says whether another file is under the name now.
func (f *fileFollower) replaced() bool {
	ours, err := f.file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(f.path)
	return err == nil && !os.SameFile(ours, named)
}

// close ends the line that the file's end may have left open.
func (f *fileFollower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
		f.to.Close()
	}
}
