//go:build unix

package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/term"
)

// What the test binary is, with this in its environment: a program that runs its arguments as a command, in pipes or in a
// terminal; or a command that prints noise, or the signals that it is sent.
const (
	envProgram = "KATIB_STREAM_TEST_CHILD"
	inPipes    = "pipes"
	inTerminal = "terminal"
	noise      = "noise"
	listener   = "listener"
	// envTaps names the beginning of the paths of two files, for what the taps are given.
	envTaps = "KATIB_STREAM_TEST_CHILD_TAPS"
)

func TestMain(m *testing.M) {
	switch as := os.Getenv(envProgram); as {
	case "":
		os.Exit(m.Run())
	case noise:
		os.Exit(printNoise(os.Args[1]))
	case listener:
		os.Exit(printSignals(os.Args[1]))
	default:
		os.Exit(runCommand(as == inTerminal))
	}
}

func runCommand(terminal bool) int {
	c := Command{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: terminal, Taps: [2]io.Writer{io.Discard, io.Discard}}
	if path := os.Getenv(envTaps); path != "" {
		for i, name := range []string{".out", ".err"} {
			file, err := os.Create(path + name)
			if err != nil {
				return 99
			}
			c.Taps[i] = file
		}
	}
	status, err := Run(context.Background(), c)
	var not *NotStartedError
	if errors.As(err, &not) {
		_, _ = io.WriteString(os.Stderr, err.Error())
		return not.Status
	}
	return status
}

// printNoise writes so many bytes to each of its outputs, which differ, in pieces of all sizes.
func printNoise(bytes string) int {
	size, err := strconv.Atoi(bytes)
	if err != nil {
		return 99
	}
	done := make(chan error)
	for i, file := range []*os.File{os.Stdout, os.Stderr} {
		go func() {
			source, sizes := noiseOf(i), rand.New(rand.NewPCG(1, uint64(i)))
			for left := size; left > 0; {
				n, err := io.CopyN(file, source, int64(min(left, 1+sizes.IntN(200_000))))
				if err != nil {
					done <- err
					return
				}
				left -= int(n)
			}
			done <- nil
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		return 98
	}
	return 0
}

func noiseOf(stream int) io.Reader { return rand.NewChaCha8([32]byte{byte(stream)}) }

// printSignals names each signal that comes, and for a change of size the size, until there is a line of input.
func printSignals(input string) int {
	names := map[os.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGTERM: "TERM",
		syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGWINCH: "WINCH",
	}
	signals := make(chan os.Signal, 64)
	for s := range names {
		signal.Notify(signals, s)
	}
	file, err := os.Open(input)
	if err != nil {
		return 99
	}
	line := make(chan string)
	go func() {
		text, _ := bufio.NewReader(file).ReadString('\n')
		line <- text
	}()
	fmt.Println("ready")
	for {
		select {
		case s := <-signals:
			if columns, rows, err := term.GetSize(1); s == syscall.SIGWINCH && err == nil {
				fmt.Println(rows, columns)
				continue
			}
			fmt.Println(names[s])
		case text := <-line:
			fmt.Print(text)
			return 9
		}
	}
}

// listening is a shell's command for printSignals, which ends with status 9.
func listening(input string) string {
	return fmt.Sprintf("exec env %s=%s '%s' %s", envProgram, listener, os.Args[0], input)
}

const patience = 60 * time.Second

// program is this package's Run in a process of its own.
type program struct {
	t       testing.TB
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	ended   chan struct{}
}

// prepare makes the test binary a program that runs a command.
func prepare(t testing.TB, as string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, os.Args[0], args...)
	command.Env = append(os.Environ(), envProgram+"="+as, "GORACE=atexit_sleep_ms=0")
	return command
}

// start runs a shell script in the program.
func start(t testing.TB, script string) *program {
	t.Helper()
	return startPrepared(t, prepare(t, inPipes, "sh", "-c", script))
}

func startPrepared(t testing.TB, command *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, command: command, ended: make(chan struct{})}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if command.Stderr == nil {
		command.Stderr = t.Output()
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits for a line.
func (p *program) says(want string) {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if strings.TrimRight(line, "\r\n") != want {
		p.t.Fatalf("it says %q, %v; want %q", line, err, want)
	}
}

func (p *program) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end, and checks that nothing more was said.
func (p *program) ends(status int) {
	p.t.Helper()
	rest, err := io.ReadAll(p.out)
	if err != nil || len(rest) > 0 {
		p.t.Errorf("it also says %q, %v", rest, err)
	}
	p.waits(status)
}

func (p *program) waits(status int) {
	p.t.Helper()
	_ = p.command.Wait() // the status says it
	if got := p.command.ProcessState; got.ExitCode() != status {
		p.t.Errorf("it ends with %v; want status %d", got, status)
	}
}

// whenKilled is how a process ends that a signal ended.
func whenKilled(s syscall.Signal) int { return 128 + int(s) }
