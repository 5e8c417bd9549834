//go:build unix

package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(t.TempDir(), "lost")
	if err := os.WriteFile(lost, []byte("#!/nowhere/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args   []string
		status int
		says   string
	}{
		"success":                {[]string{"true"}, 0, ""},
		"failure":                {[]string{"false"}, 1, ""},
		"its own":                {[]string{"sh", "-c", "exit 7"}, 7, ""},
		"the highest":            {[]string{"sh", "-c", "exit 255"}, 255, ""},
		"killed":                 {[]string{"sh", "-c", "kill -KILL $$"}, whenKilled(syscall.SIGKILL), ""},
		"terminated":             {[]string{"sh", "-c", "kill -TERM $$"}, whenKilled(syscall.SIGTERM), ""},
		"aborted":                {[]string{"sh", "-c", "kill -ABRT $$"}, whenKilled(syscall.SIGABRT), ""},
		"not in $PATH":           {[]string{"no-such-command"}, 127, "run no-such-command: executable file not found in $PATH"},
		"not there":              {[]string{"/nowhere/command"}, 127, "run /nowhere/command: no such file or directory"},
		"its interpreter is not": {[]string{lost}, 127, "run " + lost + ": no such file or directory"},
		"not executable":         {[]string{plain}, 126, "run " + plain + ": permission denied"},
		"a folder":               {[]string{"/"}, 126, "run /: "},
	}
	for name, tt := range tests {
		for _, as := range []string{inPipes, inTerminal} {
			t.Run(name+" in "+as, func(t *testing.T) {
				t.Parallel()
				command := prepare(t, as, tt.args...)
				text, _ := command.CombinedOutput()
				if status := command.ProcessState.ExitCode(); status != tt.status || !strings.HasPrefix(string(text), tt.says) || (tt.says == "" && len(text) > 0) {
					t.Errorf("status %d and %q; want %d and %q", status, text, tt.status, tt.says)
				}
			})
		}
	}
}

func TestInterruptedBeforeTheStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	made := filepath.Join(t.TempDir(), "made")
	_, err := Run(ctx, Command{Args: []string{"touch", made}, Stdout: os.Stdout, Stderr: os.Stderr})
	var not *NotStartedError
	if !errors.As(err, &not) || not.Status != whenKilled(syscall.SIGTERM) || not.Error() != "run touch: interrupted before it was started" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("it was started")
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	p := start(t, listening("/dev/stdin"))
	p.says("ready")
	for _, s := range []struct {
		signal os.Signal
		name   string
	}{
		{syscall.SIGHUP, "HUP"},
		{syscall.SIGINT, "INT"},
		{syscall.SIGQUIT, "QUIT"},
		{syscall.SIGTERM, "TERM"},
		{syscall.SIGUSR1, "USR1"},
		{syscall.SIGUSR2, "USR2"},
	} {
		p.signal(s.signal)
		p.says(s.name)
	}
	p.write("enough\n")
	p.says("enough") // and no signal a second time
	p.ends(9)
}

func TestSignalEndsTheCommand(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, `echo ready; exec sleep 100`)
			p.says("ready")
			p.signal(s)
			p.ends(whenKilled(s))
		})
	}
}

func TestCommandIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	p := start(t, `trap '' TERM; echo ready; read -r line; echo "$line"; exit 3`)
	p.says("ready")
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.write("still here\n")
	p.says("still here")
	p.ends(3)
}

// What is ignored when we start, as under nohup, stays so for the command.
func TestIgnoredSignalStaysIgnored(t *testing.T) {
	t.Parallel()
	command := prepare(t, inPipes, "sh", "-c", `kill -HUP $$; exit 6`)
	command.Args = append([]string{"sh", "-c", `trap '' HUP; exec "$0" "$@"`}, command.Args...)
	var err error
	if command.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	startPrepared(t, command).ends(6)
}

// As process 1 we get every orphan there is. The script waits until none is left, dead or alive, and gives up in time.
const orphans = `
	for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.1 & sleep 0.1 &); done
	tries=0
	while cat /proc/[0-9]*/comm 2>/dev/null | grep -q '^sleep$'; do
		tries=$((tries+1)); [ $tries -lt 500 ] || exit 5
	done
	exit 7`

func TestProcess1WaitsForOrphans(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has processes 1 for tests")
	}
	user := []string{}
	if os.Geteuid() != 0 {
		user = []string{"--user", "--map-root-user"}
	}
	args := append(append([]string{"--pid", "--fork", "--mount-proc"}, user...), os.Args[0], "sh", "-c", orphans)
	command := prepare(t, inPipes)
	command.Args = append([]string{"unshare"}, args...)
	var err error
	if command.Path, err = exec.LookPath("unshare"); err != nil {
		t.Fatal(err)
	}
	if text, _ := command.CombinedOutput(); command.ProcessState.ExitCode() != 7 || len(text) > 0 {
		t.Errorf("%v: %s", command.ProcessState, text)
	}
}
