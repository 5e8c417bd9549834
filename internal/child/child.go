//go:build unix

package child

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Run runs the command until it ends, and gives its exit status: 128 and the signal's number when a signal ended it. The
// error is a *NotStartedError. Signals that come meanwhile are the command's; ctx only counts before it has started. As
// process 1 Run also waits for orphans. From then on a broken pipe does not end this process.
func Run(ctx context.Context, c Command) (status int, err error) {
	command := exec.Command(c.Args[0], c.Args[1:]...)
	if command.Err != nil {
		return 0, notStarted(c.Args[0], command.Err)
	}
	// When nobody takes the output any more it is the command that is to hear of it, and to end or not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	forward := listen()
	defer forward.stop()
	if ctx.Err() != nil { // by a signal that came before we listened
		return 0, &NotStartedError{128 + int(syscall.SIGTERM), fmt.Errorf("run %s: interrupted before it was started", c.Args[0])}
	}
	output, err := c.start(command)
	if err != nil {
		return 0, notStarted(c.Args[0], err)
	}
	forward.to(command.Process, c.Terminal)
	status = wait(command.Process.Pid)
	forward.stop()
	_ = command.Process.Release() // it was waited for
	output.end()
	return status, nil
}

func notStarted(name string, err error) error {
	status := StatusNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = StatusNotFound
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var look *exec.Error
	if errors.As(err, &look) {
		err = look.Err
	}
	return &NotStartedError{status, fmt.Errorf("run %s: %w", name, err)}
}

// wait waits for a process, and as process 1 for all others that become ours meanwhile.
func wait(pid int) int {
	which := pid
	if os.Getpid() == 1 {
		which = -1
	}
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(which, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR), err == nil && ended != pid:
		case err != nil:
			return 1 // nobody else waits for it, so this cannot be
		case status.Signaled():
			return 128 + int(status.Signal())
		case status.Exited():
			return status.ExitStatus()
		}
	}
}
