package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SegmentBytes is how large a file is made; for a larger event it is larger.
const SegmentBytes = 1 << 20

// Create makes the producer's file with that index, from 1 on, with room for an event whose line has so many bytes. The
// error is ErrBound when the folder's files would take more than they may, and otherwise the system's: the disk is full,
// the folder is missing or read-only.
func (f *Folder) Create(d Description, index, line int) (*Segment, error) {
	header, err := d.header()
	if err != nil {
		return nil, err
	}
	size := max(SegmentBytes, len(header)+recordBytes(line))
	if err := f.fits(size); err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	path := filepath.Join(f.dir, fmt.Sprintf("%s-%d%s", d.Producer, index, suffix))
	s, err := create(path, header, size)
	if err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	return s, nil
}

// create makes a file under a name that nobody looks for, and gives it its own when it is locked and whole.
func create(path string, header []byte, size int) (*Segment, error) {
	temporary := path + temporarySuffix
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s := &Segment{path: path, file: file, end: len(header)}
	if err := s.prepare(temporary, header, size); err != nil {
		return nil, errors.Join(err, os.Remove(temporary), s.Close())
	}
	return s, nil
}

func (s *Segment) prepare(temporary string, header []byte, size int) error {
	if err := lock(s.file); err != nil {
		return err
	}
	// Without blocks of its own, a page of the mapped file that is written while the disk is full would end the process.
	if err := allocate(s.file, size); err != nil {
		return fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	if _, err := s.file.WriteAt(header, 0); err != nil {
		return err
	}
	page, err := mapFile(s.file, size)
	if err != nil {
		return err
	}
	s.page = page
	return os.Rename(temporary, s.path)
}

// Claim takes a file that a dead process left. The error is ErrLocked or ErrGone when it is somebody else's.
func (f *Folder) Claim(name string) (*Segment, error) {
	path := filepath.Join(f.dir, name)
	file, err := openAgain(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("claim a spool file: %w", err)
	}
	if err := take(file, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Segment{path: path, file: file}, nil
}

// take locks an open file, and makes sure that it is still the one that has the name: who held the lock before may have
// delivered and removed it.
func take(file *os.File, path string) error {
	if err := lock(file); err != nil {
		return err
	}
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && !os.SameFile(mine, named)) {
		return ErrGone
	}
	return err
}
