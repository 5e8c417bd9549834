//go:build unix

package child

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarder passes signals on to the command. It listens from before the command's start, so that none is lost, and none
// ends this process before the command.
type forwarder struct {
	signals chan os.Signal
	done    chan struct{}
	stop    func()
	running sync.WaitGroup
}

func listen() *forwarder {
	f := &forwarder{signals: make(chan os.Signal, 64), done: make(chan struct{})}
	f.stop = sync.OnceFunc(func() {
		signal.Stop(f.signals)
		close(f.done)
		f.running.Wait()
	})
	for _, s := range []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	} {
		if !signal.Ignored(s) { // what nohup keeps from us it keeps from the command, unless we listen
			signal.Notify(f.signals, s)
		}
	}
	return f
}

// to forwards from now on, to a command that has a terminal of its own, or shares ours if we have one.
func (f *forwarder) to(process *os.Process, ownTerminal bool) {
	f.running.Go(func() {
		for {
			select {
			case s := <-f.signals:
				if !reachesByItself(s, ownTerminal) {
					_ = process.Signal(s) // it may have ended
				}
			case <-f.done:
				return
			}
		}
	})
}

// reachesByItself says whether the command has a signal without us. A terminal's keys and changes of size go to all of its
// foreground, and a command that shares it is there with us; a terminal of its own tells it of its size.
func reachesByItself(s os.Signal, ownTerminal bool) bool {
	switch s {
	case syscall.SIGINT, syscall.SIGQUIT:
		return !ownTerminal && inForeground()
	case syscall.SIGWINCH:
		return ownTerminal || inForeground()
	}
	return false
}

// inForeground says whether we have a terminal and are in its foreground.
func inForeground() bool {
	terminal, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(terminal)
	group, err := unix.IoctlGetInt(terminal, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
