// Package child runs a command in this process's place: its output passes through byte for byte, signals reach it, and its
// end is this process's end. What it prints can be looked at on the way; that is where exec finds metrics.
package child

import (
	"io"
	"os"
)

// Exit statuses of a command that did not start, as shells have them.
const (
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// Command is what to run.
type Command struct {
	// Args are the program, looked up in $PATH, and its arguments.
	Args []string
	// Stdin, Stdout and Stderr are this process's. Without Stdin the command has none.
	Stdin, Stdout, Stderr *os.File
	// Terminal gives the command a terminal of its own. Its standard error is its standard output then.
	Terminal bool
	// Taps take what the command prints on standard output and standard error, after it was passed on. Nil: nobody looks,
	// and the command has this process's own. The two are called at the same time, each in the order of its stream, and must
	// not block for long: the command waits for them.
	Taps [2]io.Writer
}

// NotStartedError says that the command did not start, and with which status a shell would end.
type NotStartedError struct {
	Status int
	Err    error
}

func (e *NotStartedError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *NotStartedError) Unwrap() error { return e.Err }
