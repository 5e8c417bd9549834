// Command katib-stream is the whole system in one binary: every part of the way from training code to Katib DB, and the
// commands to look at it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/natsconn"
)

// version is set by the linker; `make build` does.
var version = "devel"

// Exit statuses.
const (
	statusOK    = 0
	statusError = 1
	statusUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second finds the default behaviour again and aborts.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, commandLine(os.Args), os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit status. A command that serves or follows ends when ctx does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	a.limitMemory = func(bytes int64) { debug.SetMemoryLimit(bytes) }
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusOK
	}
	var ended exitStatus
	if errors.As(err, &ended) {
		return int(ended)
	}
	if isUsage(err) {
		fmt.Fprintf(a.stderr, "katib-stream: %s; see `%s --help`\n", oneLine(command, err), command.CommandPath())
		return statusUsage
	}
	fmt.Fprintf(a.stderr, "katib-stream: %s\n", oneLine(command, err))
	return statusError
}

// oneLine says what was tried and why it did not work.
func oneLine(command *cobra.Command, err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	name := strings.TrimPrefix(command.CommandPath(), command.Root().Name()+" ")
	if command.HasParent() && !strings.HasPrefix(text, name+" ") {
		return name + ": " + text
	}
	return text
}

// usageError is a mistake on the command line or in the environment.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func isUsage(err error) bool {
	var usage usageError
	var config *natsconn.ConfigError
	return errors.As(err, &usage) || errors.As(err, &config)
}

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// calledAs is how the user called this program, which need not be in $PATH.
func calledAs() string {
	const name = "katib-stream"
	if filepath.Base(os.Args[0]) == name {
		return os.Args[0]
	}
	return name
}
