package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
	"github.com/katib-stream/katib-stream/schema"
)

// topologies are run side by side.
func topologies() []topology {
	all := []topology{{database: "mariadb", size: 1}, {database: "postgres", size: 3}}
	switch *database {
	case "":
		return all
	case "postgres":
		return all[1:]
	}
	return []topology{{database: *database, size: 1}}
}

// TestChaos brings every fault about, then mixes them for as long as asked, and holds the three truths against each other.
func TestChaos(t *testing.T) {
	t.Parallel()
	if *mutants != "" {
		return // that is another run
	}
	bin := t.TempDir()
	build(t, bin, nil)
	for _, top := range topologies() {
		t.Run(fmt.Sprintf("%s, %d of NATS", top.database, top.size), func(t *testing.T) {
			t.Parallel()
			report := run(t, top, bin, regexp.MustCompile(*only), *duration)
			fmt.Fprintln(os.Stderr, report.text())
			if problems := report.problems(); len(problems) > 0 {
				t.Errorf("%d violations with seed %d; repeat with make chaos SEED=%d", len(problems), *seed, *seed)
			}
		})
	}
}

// run makes a world, breaks it, and checks it.
func run(t testing.TB, top topology, bin string, chosen *regexp.Regexp, mixed time.Duration) *result {
	t.Helper()
	var faults []fault
	for _, f := range allFaults(top) {
		if chosen.MatchString(f.name) {
			faults = append(faults, f)
		}
	}
	w := newWorld(t, top, bin)
	begun := time.Now()
	recording, stopRecording := context.WithCancel(context.Background())
	defer stopRecording()
	rec := newRecorder(w)
	var background sync.WaitGroup
	background.Go(func() { rec.run(recording) })
	l := startWorkload(w, bin)
	n := &nemesis{workload: l, faults: faults, begun: begun, records: map[string]*record{}, present: map[string]string{}}
	working, stopWorking := context.WithCancel(context.Background())
	defer stopWorking()
	var reporters sync.WaitGroup
	reporters.Go(func() { l.scramble(working, randomOf("scrambler")) })
	reporters.Go(func() { l.useKatib(working) })
	for trial := range l.notes {
		if trial != victim {
			reporters.Go(func() { l.auditFlushes(working, trial) })
		}
	}
	watch := &watcher{nemesis: n}
	background.Go(func() { watch.run(recording) })

	sleep(working, 2*time.Second)
	n.each(working)
	if mixed > 0 {
		limited, cancel := context.WithTimeout(working, mixed)
		n.mix(limited)
		cancel()
	}
	problems := l.finish(stopWorking, &reporters)
	sleep(recording, 2*time.Second)
	problems = append(problems, rec.complete(l)...)
	stopRecording()
	background.Wait()
	return conclude(n, rec, watch, problems)
}

// finish lets everybody end in good order, and waits until all is persisted.
func (l *workload) finish(stopWorking func(), reporters *sync.WaitGroup) (problems []string) {
	stopWorking()
	reporters.Wait()
	for _, s := range l.trainers {
		if err := s.stop(); err != nil {
			problems = append(problems, err.Error())
		}
	}
	problems = append(problems, l.drain()...)
	state := ""
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	settled := poll(ctx, 100*time.Millisecond, func(ctx context.Context) bool {
		durable, err := l.js.Consumer(ctx, schema.Stream, schema.Consumer)
		if err != nil {
			state = err.Error()
			return false
		}
		info := durable.CachedInfo()
		state = fmt.Sprintf("%d not delivered, %d not acknowledged", info.NumPending, info.NumAckPending)
		return info.NumPending == 0 && info.NumAckPending == 0
	})
	if !settled {
		problems = append(problems, "stuck: the consumers do not get to the end of the stream: "+state)
	}
	for _, s := range l.all {
		_, deaths := s.counted()
		if _, trains := l.notes[trialOf(s.name)]; !trains { // a trainer says with its status that it could not deliver
			problems = append(problems, deaths...)
		}
	}
	return problems
}

func trialOf(name string) string {
	const prefix = "trainer-"
	if len(name) < len(prefix) {
		return ""
	}
	return name[len(prefix):]
}

// drain sends what dead producers left in their spools, as a user does.
func (l *workload) drain() (problems []string) {
	done := map[string]bool{}
	for _, dir := range l.spools {
		if done[dir] {
			continue
		}
		done[dir] = true
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		command := exec.Command(filepath.Join(l.bin, product), "spool", "send", dir)
		command.Env = append(os.Environ(), "KATIB_STREAM_SERVERS=nats://"+l.nodes[0].address())
		if out, err := command.CombinedOutput(); err != nil {
			problems = append(problems, fmt.Sprintf("spool send %s: %v: %s", filepath.Base(dir), err, out))
		}
	}
	return problems
}

// complete waits until the recorder has read to the end of the stream.
func (r *recorder) complete(l *workload) []string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	read := poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
		stream, err := l.js.Stream(ctx, schema.Stream)
		return err == nil && r.sequence() >= stream.CachedInfo().State.LastSeq
	})
	if !read {
		return []string{"the recorder did not get to the end of the stream"}
	}
	return nil
}

// letters counts the dead letters, but those of killers.
func (w *world) letters(ctx context.Context) (count uint64, err error) {
	killers := schema.DeadLetterPrefix + ".default." + killerTrial + ".killer"
	poll(ctx, 100*time.Millisecond, func(ctx context.Context) bool {
		var stream jetstream.Stream
		if stream, err = w.js.Stream(ctx, schema.DeadLetterStream); err != nil {
			return false
		}
		var info *jetstream.StreamInfo
		if info, err = stream.Info(ctx, jetstream.WithSubjectFilter(killers)); err != nil {
			return false
		}
		count = info.State.Msgs - info.State.Subjects[killers]
		return true
	})
	return count, err
}

func runsOf(l *workload, trial string) ([]*notes.Run, error) {
	if file, ok := l.notes[trial]; ok {
		return notes.Read(file)
	}
	return nil, nil
}
