//go:build unix

package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// endOfTransmission is what a terminal takes for the end of the input.
const endOfTransmission = 4

// startInTerminal starts the command in a terminal of its own, which is as large as ours, if we have one.
func (c Command) startInTerminal(command *exec.Cmd) (*output, error) {
	var size *pty.Winsize
	ours := c.Stdin != nil && term.IsTerminal(int(c.Stdin.Fd()))
	if ours {
		size, _ = pty.GetsizeFull(c.Stdin) // without it, it has the default size
	}
	opened, err := pty.StartWithSize(command, size)
	if err != nil {
		return nil, fmt.Errorf("in a terminal: %w", err)
	}
	terminal, err := withDeadlines(opened)
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, err
	}
	o := &output{}
	if ours {
		o.restore = c.raw(terminal)
	}
	if c.Stdin != nil {
		// It ends with this process: a read of standard input cannot be interrupted.
		go feed(terminal, c.Stdin)
	}
	tap := c.Taps[0]
	if tap == nil {
		tap = io.Discard
	}
	o.streams = []*stream{{from: terminal, to: c.Stdout, tap: tap}}
	o.run()
	return o, nil
}

// withDeadlines is the same terminal as a file whose reads can have a deadline, which the one that pty gives has lost. Who
// inherited the terminal and ignores that it hung up would keep us for ever.
func withDeadlines(terminal *os.File) (*os.File, error) {
	defer terminal.Close()
	fd, err := unix.FcntlInt(terminal.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("set up a terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), terminal.Name()), nil
}

// raw hands our terminal's keys on as they are, and its size when it changes, until restore is called.
func (c Command) raw(terminal *os.File) (restore func()) {
	before, err := term.MakeRaw(int(c.Stdin.Fd()))
	sizes := make(chan os.Signal, 1)
	signal.Notify(sizes, syscall.SIGWINCH)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-sizes:
				_ = pty.InheritSize(c.Stdin, terminal)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(sizes)
		close(done)
		<-ended
		if err == nil {
			_ = term.Restore(int(c.Stdin.Fd()), before)
		}
	}
}

func feed(terminal, stdin *os.File) {
	if _, err := io.Copy(terminal, stdin); err == nil {
		_, _ = terminal.Write([]byte{endOfTransmission})
	}
}
