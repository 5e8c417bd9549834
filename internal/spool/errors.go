package spool

import "errors"

// What can be told apart with errors.Is.
var (
	// ErrNotSpool says that a file's header is not that of a spool file, or is damaged.
	ErrNotSpool = errors.New("not a spool file")
	// ErrLocked says that a living process holds the file.
	ErrLocked = errors.New("a living process holds it")
	// ErrGone says that the file is no longer there under its name: somebody else delivered it.
	ErrGone = errors.New("somebody else took it")
	// ErrBound says that the folder's files take all that they may.
	ErrBound = errors.New("the spool is full")
	// ErrUnsupported says that this system lacks what a spool needs.
	ErrUnsupported = errors.New("this system has no flock or no mmap")
	// ErrUnsafe says that others could write to the default folder.
	ErrUnsafe = errors.New("not a folder that only this user may write to")
)
