//go:build unix

package child

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// startAtTerminal runs a shell script in the program, at a terminal of the test's: keyboard is the test's end of it, and
// screen the program's.
func startAtTerminal(t testing.TB, as, script string, prepared ...func(*exec.Cmd)) (p *program, keyboard, screen *os.File) {
	t.Helper()
	keyboard, screen, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close(); screen.Close() })
	if err := pty.Setsize(keyboard, &pty.Winsize{Rows: 33, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	command := prepare(t, as, "sh", "-c", script)
	command.Stdin, command.Stdout, command.Stderr = screen, screen, screen
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	for _, prepare := range prepared {
		prepare(command)
	}
	p = &program{t: t, command: command, in: keyboard, out: bufio.NewReader(keyboard)}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return p, keyboard, screen
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	p, keyboard, screen := startAtTerminal(t, inTerminal, "stty -echo; test -t 0 && test -t 1 && test -t 2 && stty size; "+listening("/dev/stdin"))
	before, err := term.GetState(int(screen.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	p.says("33 101")
	p.says("ready")
	during, err := term.GetState(int(screen.Fd()))
	if err != nil || *during == *before {
		t.Errorf("our terminal still reads lines, %v", err)
	}
	if err := pty.Setsize(keyboard, &pty.Winsize{Rows: 44, Cols: 55}); err != nil {
		t.Fatal(err)
	}
	p.says("44 55")
	p.write("\x03")
	p.says("INT")
	p.signal(syscall.SIGINT)
	p.says("INT")
	p.write("enough\n")
	p.says("enough")
	p.waits(9)
	after, err := term.GetState(int(screen.Fd()))
	if err != nil || *after != *before {
		t.Errorf("our terminal is not as it was, %v", err)
	}
}

// Without a terminal of its own the command shares ours, and has a signal of its keys once.
func TestSharedTerminal(t *testing.T) {
	t.Parallel()
	for name, prepared := range map[string]func(*exec.Cmd){
		"input from the terminal": func(*exec.Cmd) {},
		"input from elsewhere":    func(command *exec.Cmd) { command.Stdin = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, keyboard, _ := startAtTerminal(t, inPipes, "stty -echo < /dev/tty; "+listening("/dev/tty"), prepared)
			p.says("ready")
			p.write("\x03")
			p.says("INT")
			p.signal(syscall.SIGTERM)
			p.says("TERM")
			if err := pty.Setsize(keyboard, &pty.Winsize{Rows: 44, Cols: 55}); err != nil {
				t.Fatal(err)
			}
			p.says("WINCH")
			p.write("enough\n")
			p.says("enough")
			p.waits(9)
		})
	}
}

// A terminal for the command without one of ours: what is given as input is typed.
func TestTerminalInsteadOfPipes(t *testing.T) {
	t.Parallel()
	command := prepare(t, inTerminal, "sh", "-c", `stty -echo -opost; echo ready; while read -r line; do echo "$line"; done; test -t 1; exit $?`)
	p := startPrepared(t, command)
	p.says("ready")
	p.write("a\nb\n")
	p.says("a")
	p.says("b")
	p.in.Close()
	p.ends(0)
}

// All of a long output arrives although the terminal is hung up when the command ends.
func TestLongOutputOfATerminal(t *testing.T) {
	t.Parallel()
	const lines = 100_000
	command := prepare(t, inTerminal, "sh", "-c", `stty -opost; seq 100000`)
	text, err := command.Output()
	if err != nil || bytes.Count(text, []byte("\n")) != lines || !strings.HasSuffix(string(text), "\n100000\n") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// Nobody takes the output any more: the command's terminal hangs up.
func TestTerminalHangsUp(t *testing.T) {
	t.Parallel()
	command := prepare(t, inTerminal, "yes")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	out.Close()
	// The terminal hangs up; whether the command's write or the signal comes first is chance.
	if _ = command.Wait(); command.ProcessState.ExitCode() != whenKilled(syscall.SIGHUP) && command.ProcessState.ExitCode() != 1 {
		t.Error(command.ProcessState)
	}
}
