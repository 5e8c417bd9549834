//go:build unix

package child

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sumOf(t testing.TB, r io.Reader) (sum [sha256.Size]byte) {
	t.Helper()
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		t.Error(err)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// All bytes of both streams arrive, each in its order, and the taps see the same.
func TestOutputIsUntouched(t *testing.T) {
	t.Parallel()
	const size = 25 << 20
	taps := filepath.Join(t.TempDir(), "tap")
	command := prepare(t, inPipes, "env", envProgram+"="+noise, os.Args[0], strconv.Itoa(size))
	command.Env = append(command.Env, envTaps+"="+taps)
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{".out", ".err"} {
		tapped, err := os.Open(taps + name)
		if err != nil {
			t.Fatal(err)
		}
		defer tapped.Close()
		want := sumOf(t, io.LimitReader(noiseOf(i), size))
		if sumOf(t, []io.Reader{&out, &errOut}[i]) != want {
			t.Errorf("what arrives at %s is not what was written", name)
		}
		if sumOf(t, tapped) != want {
			t.Errorf("what the tap of %s was given is not what was written", name)
		}
	}
}

// A prompt has no newline, and who asks waits for the answer.
func TestPrompt(t *testing.T) {
	t.Parallel()
	p := start(t, `printf 'name? '; read -r name; echo "hello $name"`)
	prompt := make([]byte, len("name? "))
	if _, err := io.ReadFull(p.out, prompt); err != nil || string(prompt) != "name? " {
		t.Fatalf("%q, %v", prompt, err)
	}
	p.write("you\n")
	p.says("hello you")
	p.ends(0)
}

func TestInputEnds(t *testing.T) {
	t.Parallel()
	p := start(t, `cat; exit 3`)
	p.write("a\n")
	p.in.Close()
	p.says("a")
	p.ends(3)
}

// The command hears that nobody takes its output any more, and its end is still ours to tell.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script string
		status int
	}{
		"it ends by that":  {"yes; exit $?", whenKilled(syscall.SIGPIPE)},
		"it goes on":       {"trap '' PIPE; while echo y 2>/dev/null; do :; done; exit 4", 4},
		"on both outputs":  {"trap '' PIPE; while echo y 2>/dev/null; do :; done; while echo y >&2; do :; done; exit 5", 5},
		"it says no more":  {"echo y; read -r x; exit 6", 6},
		"it ended already": {"exec >/dev/null; echo y >&2; exit 7", 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			command := prepare(t, inPipes, "sh", "-c", tt.script)
			command.Stdout, command.Stderr = write, write
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			write.Close()
			if _, err := read.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			read.Close()
			if _ = command.Wait(); command.ProcessState.ExitCode() != tt.status {
				t.Errorf("%v; want status %d", command.ProcessState, tt.status)
			}
		})
	}
}

// Who inherited the output and goes on does not keep us.
func TestGrandchildKeepsTheOutput(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]string{"pipes": inPipes, "terminal": inTerminal} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := prepare(t, as, "sh", "-c", `trap '' HUP; sleep 100 & echo "$!"; exit 3`)
			p := startPrepared(t, command)
			line, err := p.out.ReadString('\n')
			grandchild, convErr := strconv.Atoi(strings.TrimSpace(line))
			if err != nil || convErr != nil {
				t.Fatalf("it says %q, %v", line, err)
			}
			began := time.Now()
			p.ends(3)
			if took := time.Since(began); took > linger+10*time.Second {
				t.Errorf("it ended after %v", took)
			}
			if err := syscall.Kill(grandchild, syscall.SIGKILL); err != nil {
				t.Errorf("the grandchild is gone: %v", err)
			}
		})
	}
}

// What lies in the pipe when the time is over was there in time.
func TestOutputOfWhoWasSlow(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close() // there is still who could write
	text := strings.Repeat("x", 60<<10)
	if _, err := write.WriteString(text); err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(filepath.Join(t.TempDir(), "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var tap strings.Builder
	s := &stream{from: read, to: to, tap: &tap}
	_ = read.SetReadDeadline(time.Now().Add(-time.Second))
	s.copy()
	if got, err := os.ReadFile(to.Name()); err != nil || string(got) != text || tap.String() != text {
		t.Errorf("%d bytes arrive and %d at the tap, %v; want %d", len(got), tap.Len(), err, len(text))
	}
}

// Standard output does not block when somebody who shares it made it so.
func TestOutputThatDoesNotBlock(t *testing.T) {
	t.Parallel()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	read, to := os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "to")
	defer read.Close()
	if err := syscall.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789"), 1<<20)
	result := make(chan error, 1)
	go func() {
		defer to.Close()
		result <- write(to, text)
	}()
	got, err := io.ReadAll(read)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes arrive, %v; want %d", len(got), err, len(text))
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}
