package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 5 * time.Second
)

// consumerProcess is a running `demo consumer`.
type consumerProcess struct {
	command *exec.Cmd
	stdin   io.Closer // it ends when this is closed
	http    string
	exited  chan struct{} // closed when the process has ended
}

// startConsumer starts a consumer that kills itself at the commit killAt, 0 for none, and waits until it works.
func (d *demoRun) startConsumer(ctx context.Context, killAt int) (*consumerProcess, error) {
	journal, err := os.OpenFile(d.consumerLog(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the consumer's log: %w", err)
	}
	defer journal.Close()
	output, stdout, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the consumer: %w", err)
	}
	defer output.Close()
	command := exec.Command(d.program, "demo", "consumer", "--kill-at", strconv.Itoa(killAt),
		"--server", d.server.URL(), "--db", "sqlite:"+d.database(),
		"--ack-wait", "2s", // so that what is not acknowledged comes back soon
		"--workers", "1", "--batch-wait", "250ms", // so that there are several messages in the batch at the kill
		"--stream-max-bytes", "64MiB", "--dead-letter-max-bytes", "8MiB")
	command.Env, command.Stdout, command.Stderr = plainEnvironment(), stdout, journal
	stdin, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	stdout.Close() // the process has its own
	if err != nil {
		return nil, fmt.Errorf("start the consumer: %w", err)
	}
	p := &consumerProcess{command: command, stdin: stdin, exited: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(p.exited)
	}()
	if p.http, err = waitReady(ctx, output); err != nil {
		p.stop()
		return nil, fmt.Errorf("start the consumer: %w", d.because(d.consumerLog(), err))
	}
	return p, nil
}

func waitReady(ctx context.Context, output *os.File) (string, error) {
	if err := output.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = output.SetReadDeadline(time.Now()) })()
	var ready consumerReady
	if err := json.NewDecoder(output).Decode(&ready); err != nil {
		return "", fmt.Errorf("it did not say that it is ready: %w", err)
	}
	return ready.HTTP, nil
}

// stop ends the process, and waits until it has.
func (p *consumerProcess) stop() {
	_ = p.stdin.Close() // closed already when the process ended by itself
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exited:
	case <-timeout.C:
		_ = p.command.Process.Kill()
		<-p.exited
	}
}

// killed says whether a signal ended the process. It must have exited.
func (p *consumerProcess) killed() bool { return p.command.ProcessState.ExitCode() == -1 }

func (p *consumerProcess) pid() int { return p.command.Process.Pid }

// counts reads the consumer's own metrics: messages that were delivered to it again, and those of all its messages that
// the database turned out to have.
func (p *consumerProcess) counts(ctx context.Context) (redelivered, duplicates int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.http+"/metrics", nil)
	if err != nil {
		return 0, 0, fmt.Errorf("read the consumer's metrics: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // so that nothing of it stays behind
	response, err := client.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("read the consumer's metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "katib_stream_redeliveries_total":
			redelivered, err = strconv.Atoi(value)
		case `katib_stream_messages_total{outcome="duplicate"}`:
			duplicates, err = strconv.Atoi(value)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read the consumer's metrics: %w", err)
		}
	}
	return redelivered, duplicates, lines.Err()
}

// plainEnvironment is this process's without what would set flags of the programs that the demo starts.
func plainEnvironment() (env []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KATIB_") && !strings.HasPrefix(variable, "NATS_") && !strings.HasPrefix(variable, "DB_") {
			env = append(env, variable)
		}
	}
	return env
}

// because adds to an error the last line that the process wrote, which mostly says why.
func (d *demoRun) because(log string, err error) error {
	text, readErr := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; readErr == nil && last != "" {
		return fmt.Errorf("%w; the last that it said: %s", err, last)
	}
	return err
}

func (d *demoRun) database() string    { return filepath.Join(d.dir, "katib.db") }
func (d *demoRun) consumerLog() string { return filepath.Join(d.dir, "consumer.log") }
