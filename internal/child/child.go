//go:build unix

package child

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// linger is how long the output stays open after the command's end for who inherited it.
const linger = time.Second

// Run runs the command until it ends, and gives its exit status: 128 and the signal's number when a signal ended it. The
// error is a *NotStartedError, or says why the output could not be had. As process 1 it also waits for orphans.
func Run(c Command) (status int, err error) {
	command := exec.Command(c.Args[0], c.Args[1:]...)
	if command.Err != nil {
		return 0, notStarted(c.Args[0], command.Err)
	}
	forward := listen()
	defer forward.stop()
	output, err := c.start(command)
	if err != nil {
		return 0, notStarted(c.Args[0], err)
	}
	forward.to(command.Process, c.sharesTerminal())
	ended := wait(command.Process.Pid)
	forward.stop()
	output.end()
	return ended, nil
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

// output is what passes the command's output on.
type output struct {
	streams []*stream
	running sync.WaitGroup
	restore func() // the terminal
}

// start starts the command, with its output where the taps are.
func (c Command) start(command *exec.Cmd) (*output, error) {
	if c.Terminal {
		return c.startInTerminal(command)
	}
	command.Stdin, command.Stdout, command.Stderr = c.Stdin, c.Stdout, c.Stderr
	o := &output{restore: func() {}}
	var theirs []*os.File
	for i, own := range []*os.File{c.Stdout, c.Stderr} {
		if c.Taps[i] == nil {
			continue
		}
		read, write, err := os.Pipe()
		if err != nil {
			o.close()
			return nil, fmt.Errorf("make a pipe for the output: %w", err)
		}
		theirs = append(theirs, write)
		o.streams = append(o.streams, &stream{from: read, to: own, tap: c.Taps[i]})
		if i == 0 {
			command.Stdout = write
		} else {
			command.Stderr = write
		}
	}
	err := command.Start()
	for _, file := range theirs {
		file.Close()
	}
	if err != nil {
		o.close()
		return nil, err
	}
	o.run()
	return o, nil
}

func (o *output) run() {
	for _, s := range o.streams {
		o.running.Go(s.copy)
	}
}

// end waits until the output has ended. A process that inherited it and goes on is not waited for longer than linger.
func (o *output) end() {
	for _, s := range o.streams {
		_ = s.from.SetReadDeadline(time.Now().Add(linger)) // what has no deadlines ends with the command
	}
	o.running.Wait()
	o.close()
}

func (o *output) close() {
	for _, s := range o.streams {
		s.from.Close()
	}
	o.restore()
}

// stream is one of the command's outputs.
type stream struct {
	from, to *os.File
	tap      io.Writer
}

// copy passes on until the end. When nobody takes the output any more, the command hears of it as if it had written
// there itself: its pipe breaks.
func (s *stream) copy() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := s.from.Read(buffer)
		if n > 0 {
			_, writeErr := s.to.Write(buffer[:n])
			_, _ = s.tap.Write(buffer[:n])
			if writeErr != nil {
				s.from.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
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
