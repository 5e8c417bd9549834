package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// With these in its environment the test binary is a trainer with a spool, so that a test can kill one.
const (
	envTrainer = "KATIB_STREAM_TEST_TRAINER" // the NATS server
	envSpool   = "KATIB_STREAM_TEST_TRAINER_SPOOL"
	envTrial   = "KATIB_STREAM_TEST_TRAINER_TRIAL"
	envNotes   = "KATIB_STREAM_TEST_TRAINER_NOTES" // the file of what was accepted
	envEvents  = "KATIB_STREAM_TEST_TRAINER_EVENTS"
	// envKill makes it kill itself with SIGKILL when it has reported that many events.
	envKill = "KATIB_STREAM_TEST_TRAINER_KILL"
)

// beTrainer reports events, and notes the step of each when it was accepted.
func beTrainer(server string) error {
	events, err := strconv.Atoi(os.Getenv(envEvents))
	if err != nil {
		return err
	}
	kill, err := strconv.Atoi(os.Getenv(envKill))
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(os.Getenv(envNotes), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer notes.Close()
	nc, err := nats.Connect(server, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := producer.New(nc, producer.Config{Namespace: "default", Trial: os.Getenv(envTrial), Spool: os.Getenv(envSpool), BatchEvents: 20})
	if err != nil {
		return err
	}
	for step := range int64(events) {
		if step == int64(kill) {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		if err := p.Report(context.Background(), schema.Event{Step: &step, Metrics: []schema.Metric{{Name: "loss", Value: fmt.Sprint(step)}}}); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(notes, step); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.Close(ctx)
}

// train runs a trainer until it ends; with kill it dies when it has reported so many events.
func train(t testing.TB, server, spool, trial, notes string, events, kill int) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), envTrainer+"="+server, envSpool+"="+spool, envTrial+"="+trial, envNotes+"="+notes,
		envEvents+"="+strconv.Itoa(events), envKill+"="+strconv.Itoa(kill))
	command.Stdout, command.Stderr = t.Output(), t.Output()
	err := command.Run()
	if killed := strings.Contains(fmt.Sprint(err), "signal: killed"); killed != (kill >= 0 && kill < events) || (err != nil && !killed) {
		t.Errorf("the trainer: %v", err)
	}
}

// noted are the steps that trainers noted as accepted.
func noted(t testing.TB, notes string) []string {
	t.Helper()
	text, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// persistedOf is how often each value of a trial is in the database.
func persistedOf(t testing.TB, db *katibdb.DB, trial string) map[string]int {
	t.Helper()
	rows, err := db.SQL().QueryContext(t.Context(), "SELECT value FROM observation_logs WHERE trial_name = ?", trial)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		found[value]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// checkOnce compares what was noted with the database: trainers kill themselves between a note and the next report.
func checkOnce(t testing.TB, db *katibdb.DB, trial string, accepted []string) {
	t.Helper()
	wanted := map[string]int{}
	for _, step := range accepted {
		wanted[step]++
	}
	var found map[string]int
	eventually(t, "what "+trial+" accepted is persisted", func() bool {
		found = persistedOf(t, db, trial)
		for step, times := range wanted {
			if found[step] < times {
				return false
			}
		}
		return true
	})
	for step, times := range found {
		if times != wanted[step] {
			t.Errorf("%s: step %s was noted %d times and has %d rows", trial, step, wanted[step], times)
		}
	}
}

func emptied(t testing.TB, dir string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(files) == 0
}

func spoolWorld(t testing.TB) (server *testserver.NATSServer, db *katibdb.DB, dir string) {
	t.Helper()
	server = testserver.NATS(t)
	js := connect(t, server.URL())
	db = open(t, "sqlite:"+filepath.Join(t.TempDir(), "katib.db"))
	ensureStreams(t, js)
	consume(t, js, db, consumer.Config{})
	return server, db, t.TempDir()
}

// A trainer that was killed delivers, with its next start on the folder, every event that it had accepted, once.
func TestSpoolSurvivesKill(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"with NATS": false, "without NATS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, db, dir := spoolWorld(t)
			notes := filepath.Join(t.TempDir(), "notes")
			if away {
				server.Stop()
			}
			train(t, server.URL(), dir, "killed", notes, 10_000, 7_777)
			if emptied(t, dir) {
				t.Error("nothing was left")
			}
			if away {
				train(t, server.URL(), dir, "killed", notes, 3_000, 2_000) // and once more, before anybody could deliver
				server.Start()
			}
			train(t, server.URL(), dir, "next", filepath.Join(t.TempDir(), "notes"), 10, -1)
			checkOnce(t, db, "killed", noted(t, notes))
			checkOnce(t, db, "next", []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"})
			eventually(t, "the spool is empty", func() bool {
				train(t, server.URL(), dir, "later", filepath.Join(t.TempDir(), "notes"), 1, -1)
				return emptied(t, dir)
			})
		})
	}
}

// Trainers that are killed and started again side by side share a folder, and none delivers what another one is about to.
func TestSpoolIsShared(t *testing.T) {
	t.Parallel()
	server, db, dir := spoolWorld(t)
	notes := t.TempDir()
	const trainers, starts = 3, 3
	var running sync.WaitGroup
	for n := range trainers {
		running.Go(func() {
			for start := range starts {
				train(t, server.URL(), dir, fmt.Sprintf("trial-%d", n), filepath.Join(notes, strconv.Itoa(n)), 3_000, 1_000*(start+n)+500)
			}
		})
	}
	running.Wait()
	eventually(t, "the spool is empty", func() bool {
		train(t, server.URL(), dir, "later", filepath.Join(t.TempDir(), "notes"), 1, -1)
		return emptied(t, dir)
	})
	for n := range trainers {
		checkOnce(t, db, fmt.Sprintf("trial-%d", n), noted(t, filepath.Join(notes, strconv.Itoa(n))))
	}
}
