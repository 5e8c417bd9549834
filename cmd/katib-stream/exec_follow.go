package main

import (
	"io"
	"os"
	"time"
)

// followEvery is the pause between looks at a file.
const followEvery = 100 * time.Millisecond

// fileFollower reads what is written to a file, also when it is made later, truncated or replaced.
type fileFollower struct {
	path string
	to   io.Writer
	file *os.File
	read int64 // bytes
}

// newFileFollower begins at the file's present end: what stands there is of an earlier run.
func newFileFollower(path string, to io.Writer) *fileFollower {
	f := &fileFollower{path: path, to: to}
	if f.open() {
		f.read, _ = f.file.Seek(0, io.SeekEnd) // a pipe has no end, and no earlier run
	}
	return f
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
	if f.replaced() {
		f.close()
		if f.open() {
			f.copy()
		}
	}
}

func (f *fileFollower) open() bool {
	file, err := os.Open(f.path)
	if err != nil {
		return false // not there yet
	}
	f.file, f.read = file, 0
	return true
}

func (f *fileFollower) copy() {
	info, err := f.file.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() < f.read {
		f.read, _ = f.file.Seek(0, io.SeekStart) // truncated
	}
	n, _ := io.Copy(f.to, f.file) // an error is met again, or the file is replaced
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

func (f *fileFollower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
