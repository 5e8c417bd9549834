package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is what a command has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// result is what a command came to.
type result struct {
	status         int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("status %d\nstdout: %s\nstderr: %s", r.status, r.stdout, r.stderr)
}

// katibStream runs a command line in this process.
func katibStream(t testing.TB, args ...string) result {
	t.Helper()
	return katibStreamOn(t, "", args...)
}

// katibStreamOn runs a command line in this process with something on standard input.
func katibStreamOn(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return katibStreamWith(t, nil, stdin, args...)
}

// katibStreamWith runs a command line in this process with an environment.
func katibStreamWith(t testing.TB, env map[string]string, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr output
	a := &app{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return env[name] }}
	status := a.run(t.Context(), args)
	return result{status, stdout.String(), stderr.String()}
}

// running is a command that goes on until it is stopped.
type running struct {
	t              testing.TB
	stdout, stderr output
	stop           func() // asks it to end
	ended          chan int
	process        *os.Process // nil in this process
}

// start runs a command line in this process until the test ends or it is stopped.
func start(t testing.TB, env map[string]string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, stop: cancel, ended: make(chan int, 1)}
	a := &app{stdin: strings.NewReader(""), stdout: &r.stdout, stderr: &r.stderr, getenv: func(name string) string { return env[name] }}
	go func() { r.ended <- a.run(ctx, args) }()
	t.Cleanup(func() { r.finish() })
	return r
}

// startProcess runs a command line in a process of its own, which is killed when the test ends.
func startProcess(t testing.TB, env []string, args ...string) *running {
	t.Helper()
	command := exec.Command(os.Args[0], args...)
	command.Env = append(programEnv(), env...)
	return startCommand(t, command)
}

// startUnprivileged does the same as a user who must not do everything.
func startUnprivileged(t testing.TB, args ...string) *running {
	t.Helper()
	command := exec.Command(os.Args[0], args...)
	if os.Geteuid() == 0 {
		const nobody = 65534
		command = exec.Command("/proc/self/exe", args...) // the path of a test binary is closed to others
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	command.Env = programEnv()
	return startCommand(t, command)
}

// programEnv makes the test binary the program. With the race detector it would sleep a second at its end.
func programEnv() []string {
	return append(os.Environ(), envProgram+"=1", "GORACE=atexit_sleep_ms=0")
}

func startCommand(t testing.TB, command *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, ended: make(chan int, 1)}
	command.Stdout, command.Stderr = &r.stdout, &r.stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = command.Process
	r.stop = func() { r.signal(syscall.SIGTERM) }
	go func() {
		_ = command.Wait()
		r.ended <- command.ProcessState.ExitCode() // -1 when a signal ended it
	}()
	t.Cleanup(func() {
		_ = r.process.Kill()
		r.wait()
	})
	return r
}

func (r *running) signal(signal syscall.Signal) {
	r.t.Helper()
	if err := r.process.Signal(signal); err != nil {
		r.t.Fatalf("send %v: %v", signal, err)
	}
}

// abort sends SIGTERM to a process that is stopping already; the very first moment after that it may not count as another.
func (r *running) abort() {
	r.t.Helper()
	eventually(r.t, "a second signal ends it", func() bool {
		return errors.Is(r.process.Signal(syscall.SIGTERM), os.ErrProcessDone)
	})
}

// finish asks the command to end and waits for that.
func (r *running) finish() (status int) {
	r.t.Helper()
	r.stop()
	return r.wait()
}

// wait waits until the command has ended; it may be called again.
func (r *running) wait() (status int) {
	r.t.Helper()
	select {
	case status = <-r.ended:
		r.ended <- status
	case <-time.After(patience):
		r.t.Errorf("it has not ended within %v; it wrote\n%s%s", patience, &r.stdout, &r.stderr)
	}
	return status
}

// says waits until the command has written all of the texts to standard error.
func (r *running) says(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		eventually(r.t, fmt.Sprintf("it says %q on standard error", text), func() bool { return strings.Contains(r.stderr.String(), text) })
	}
}

// failsWith checks that a command failed with a status and one line that has all the texts, and printed nothing.
func failsWith(t testing.TB, got result, status int, texts ...string) {
	t.Helper()
	line, rest, _ := strings.Cut(got.stderr, "\n")
	if got.status != status || got.stdout != "" || rest != "" || !strings.HasPrefix(line, "katib-stream: ") {
		t.Errorf("want status %d and one line, got %v", status, got)
	}
	for _, text := range texts {
		if !strings.Contains(line, text) {
			t.Errorf("want a line that says %q, got %s", text, line)
		}
	}
	if strings.Contains(got.stderr, secret) {
		t.Errorf("it tells the password: %s", got.stderr)
	}
}

// secret is a password that must never be printed.
const secret = "s3cret"
