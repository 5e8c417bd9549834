//go:build unix

package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// linger is how long the output stays open after the command's end for who inherited it.
	linger = time.Second
	// chunk is how much of the output is passed on at once, in bytes, and mostInPipe what a pipe can hold.
	chunk      = 64 << 10
	mostInPipe = 1 << 20
)

// output is what passes the command's output on.
type output struct {
	streams []*stream
	running sync.WaitGroup
	restore func() // the terminal; nil when nothing was changed
}

// start starts the command, with its output where the taps are.
func (c Command) start(command *exec.Cmd) (*output, error) {
	if c.Terminal {
		return c.startInTerminal(command)
	}
	if c.Stdin != nil {
		command.Stdin = c.Stdin
	}
	command.Stdout, command.Stderr = c.Stdout, c.Stderr
	o := &output{}
	for i, own := range []*os.File{c.Stdout, c.Stderr} {
		if c.Taps[i] == nil {
			continue
		}
		read, write, err := os.Pipe()
		if err != nil {
			o.close()
			return nil, fmt.Errorf("make a pipe for the output: %w", err)
		}
		defer write.Close() // the command has its own
		o.streams = append(o.streams, &stream{from: read, to: own, tap: c.Taps[i]})
		if i == 0 {
			command.Stdout = write
		} else {
			command.Stderr = write
		}
	}
	if err := command.Start(); err != nil {
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
		_ = s.from.SetReadDeadline(time.Now().Add(linger)) // it may be closed
	}
	o.running.Wait()
	o.close()
}

func (o *output) close() {
	for _, s := range o.streams {
		s.from.Close()
	}
	if o.restore != nil {
		o.restore()
	}
}

// stream is one of the command's outputs.
type stream struct {
	from, to *os.File
	tap      io.Writer
}

// copy passes on until the end. When nobody takes the output any more, the command hears of it as if it had written
// there itself: its pipe breaks.
func (s *stream) copy() {
	defer s.from.Close()
	buffer := make([]byte, chunk)
	for {
		n, err := s.from.Read(buffer)
		if !s.pass(buffer[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.rest(buffer)
		}
		if err != nil {
			return
		}
	}
}

// pass passes on, and says whether somebody took it.
func (s *stream) pass(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	err := write(s.to, p)
	_, _ = s.tap.Write(p)
	return err == nil
}

// rest passes on what lies in the pipe when the time is over: it was there in time, but who takes our output was slow.
func (s *stream) rest(buffer []byte) {
	_ = s.from.SetReadDeadline(time.Time{})
	raw, err := s.from.SyscallConn()
	if err != nil {
		return
	}
	for left := mostInPipe; left > 0; {
		n := 0
		_ = raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), buffer)
			return true // it is not waited for more
		})
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if n <= 0 || !s.pass(buffer[:n]) {
			return
		}
		left -= n
	}
}

// write writes all, also to a file that does not block: a terminal is one as soon as the command makes its standard input
// so, for it is the same file.
func write(to *os.File, p []byte) error {
	for {
		n, err := to.Write(p)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		p = p[n:]
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(to.Fd()), Events: unix.POLLOUT}}, -1) // the next write tells what is wrong
	}
}
