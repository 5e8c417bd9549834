//go:build unix

package child

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
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
	// A broken pipe must not end us: the command is to hear of it.
	signal.Notify(f.signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGWINCH, syscall.SIGPIPE)
	return f
}

// to forwards from now on. Where the command shares our terminal, the terminal's own signals reach it by themselves.
func (f *forwarder) to(process *os.Process, sharesTerminal bool) {
	f.running.Go(func() {
		for {
			select {
			case s := <-f.signals:
				if s == syscall.SIGPIPE || (sharesTerminal && isOfTerminal(s)) {
					continue
				}
				_ = process.Signal(s) // it may have ended
			case <-f.done:
				return
			}
		}
	})
}

func isOfTerminal(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGWINCH
}

// sharesTerminal says whether the command is in the foreground of the terminal that we are in.
func (c Command) sharesTerminal() bool {
	return !c.Terminal && c.Stdin != nil && term.IsTerminal(int(c.Stdin.Fd()))
}
