package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Process is a program that runs as a child of this process, and dies with it.
type Process struct{ *process }

// StartProcess starts a program with further variables in its environment. Its output goes to the file log in dir, which is
// also where it runs.
func StartProcess(argv, env []string, dir string) (*Process, error) {
	p, err := startProcess(argv, env, nil, dir)
	if err != nil {
		return nil, err
	}
	return &Process{p}, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// State says how the program ended; it is for after that.
func (p *Process) State() *os.ProcessState { return p.command.ProcessState }

// Kill kills the program and its children with SIGKILL, and waits until they are gone.
func (p *Process) Kill() error { return p.kill() }

// Terminate asks the program to end, with SIGTERM.
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

// Pause stops the program and its children where they are, until Resume.
func (p *Process) Pause() error { return p.pause() }

// Resume lets a paused program go on.
func (p *Process) Resume() error { return p.signalAll(syscall.SIGCONT) }

// Signal sends the program itself a signal.
func (p *Process) Signal(signal syscall.Signal) error { return p.signal(signal) }

// Output is the end of what the program wrote.
func (p *Process) Output() string { return p.output() }

type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed when the program has ended and was waited for
	log     string        // file with its output
}

// startProcess runs a program whose output goes to a file. The child is to be killed by the kernel when its parent is,
// but what the kernel takes for the parent is the thread that started it. So a goroutine keeps that thread until the
// child has ended.
func startProcess(argv, env []string, account *syscall.Credential, dir string) (*process, error) {
	p := &process{command: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), log: filepath.Join(dir, "log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", argv[0], err)
	}
	defer log.Close()
	p.command.Env = append(os.Environ(), env...)
	p.command.Dir, p.command.Stdout, p.command.Stderr = dir, log, log
	p.command.SysProcAttr = childAttributes(account)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := p.command.Start()
		started <- err
		if err == nil {
			_ = p.command.Wait() // how a server that is killed ends is no news
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return p, nil
}

// running tells whether the program has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends the program itself a signal.
func (p *process) signal(signal syscall.Signal) error {
	if err := p.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", signal, filepath.Base(p.command.Path), err)
	}
	return nil
}

// pause stops the program and its children, and waits until they have: the signal alone leaves them a moment to answer in.
func (p *process) pause() error {
	if err := p.signalAll(syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.After(time.Second)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for _, pid := range append(children(p.command.Process.Pid), p.command.Process.Pid) {
		for !stopped(pid) {
			select {
			case <-ticker.C:
			case <-deadline:
				return fmt.Errorf("pause %s: process %d does not stop", filepath.Base(p.command.Path), pid)
			}
		}
	}
	return nil
}

// signalAll sends a signal to the program and its children; PostgreSQL serves each connection by a child. The program is
// stopped first, so that it starts no child that would be missed.
func (p *process) signalAll(signal syscall.Signal) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, child := range children(p.command.Process.Pid) {
		if err := syscall.Kill(child, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %v to a child of %s: %w", signal, filepath.Base(p.command.Path), err)
		}
	}
	return p.signal(signal)
}

// kill ends the program and its children at once, and waits for that.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	orphans := children(p.command.Process.Pid)
	if err := p.signalAll(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	waitGone(orphans)
	return nil
}

// waitGone waits until processes that were killed are gone, for PostgreSQL does not come back while one of them still
// holds its memory. It waits a second at most: where nobody reaps orphans, they stay on as names without memory.
func waitGone(pids []int) {
	deadline := time.After(time.Second)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for _, pid := range pids {
		for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			select {
			case <-ticker.C:
			case <-deadline:
				return
			}
		}
	}
}

// output is the end of what the program wrote, for errors.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2_000):])
}

// serverAccount is the unprivileged user that a server runs as when the tests run as root, because database servers
// refuse to be root: the first of the names that the system knows. It is nil when the tests do not run as root.
func serverAccount(names ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range append(names, "nobody") {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the id of user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the group of user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the tests run as root and a database server must not: add one of the users %v", append(names, "nobody"))
}
