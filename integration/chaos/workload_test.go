package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
	"github.com/katib-stream/katib-stream/schema"
)

// victim is the trial that is deleted again and again.
const victim = "victim"

// workload is all that reports.
type workload struct {
	*world
	bin    string
	notes  map[string]string // files, by trial
	spools map[string]string // folders, by trial; "" for a producer without one
	byName map[string]*service

	mu      sync.Mutex
	deleted int // runs of the victim, the first ones, whose reports are deleted
	told    map[string]map[int]expectation
	broken  []string // promises that were seen to be broken on the way
	audits  int
	poisons int
	killers int // the release fault's alone
	probes  int
}

// trainersOf are the trials that are reported by processes. A spool is shared by two languages.
var trainersOf = []struct{ trial, program, spool string }{
	{"go-a", "trainer", "shared"},
	{"py-a", "trainer.py", "shared"},
	{"go-b", "trainer", "go-b"},
	{"py-b", "trainer.py", "py-b"},
	{"go-memory", "trainer", ""},
	{victim, "trainer", "victim"},
}

func startWorkload(w *world, bin string) *workload {
	w.Helper()
	l := &workload{
		world: w, bin: bin, notes: map[string]string{}, spools: map[string]string{}, byName: map[string]*service{},
		told: map[string]map[int]expectation{},
	}
	servers := w.natsThrough("producers-nats")
	for _, trainer := range trainersOf {
		argv := []string{filepath.Join(bin, goTrainer)}
		if trainer.program == "trainer.py" {
			argv = python(w)
		}
		file := filepath.Join(w.dir, trainer.trial+".notes")
		env := []string{
			"CHAOS_SERVERS=" + servers, "KATIB_STREAM_SERVERS=" + servers, "KATIB_TRIAL_NAME=" + trainer.trial, "CHAOS_NOTES=" + file,
			fmt.Sprintf("CHAOS_RATE=%d", *rate), "PYTHONPATH=" + absolute(w, "../../producer/python/src"),
		}
		if trainer.spool != "" {
			spool := filepath.Join(w.dir, "spool-"+trainer.spool)
			l.spools[trainer.trial] = spool
			env = append(env, "CHAOS_SPOOL="+spool, "KATIB_STREAM_SPOOL="+spool)
		}
		l.notes[trainer.trial] = file
		s := w.start("trainer-"+trainer.trial, argv, env...)
		l.byName[trainer.trial] = s
		w.trainers = append(w.trainers, s)
	}
	return l
}

func python(t testing.TB) []string {
	t.Helper()
	program := absolute(t, "../../.venv/bin/python")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("there is no Python with nats-py: run `make python`: %v", err)
	}
	return []string{program, absolute(t, "trainer/trainer.py")}
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tell notes what a reporter in this process was promised.
func (l *workload) tell(trial string, n int, e expectation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[trial] == nil {
		l.told[trial] = map[int]expectation{}
	}
	l.told[trial][n] = e
}

func (l *workload) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = append(l.broken, fmt.Sprintf(format, args...))
}

// scramble publishes numbered messages out of order, each once to three times, and messages with ids of their own, as any
// program may: it repeats each until it is stored.
func (l *workload) scramble(ctx context.Context, r *rand.Rand) {
	nc, err := nats.Connect(l.links["producers-nats"][0].url(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		l.violated("connect the scrambler: %v", err)
		return
	}
	defer nc.Close()
	const trial = "scrambled"
	for block := 0; ctx.Err() == nil; block++ {
		const size = 20
		for _, i := range r.Perm(size) {
			n := block*size + i
			id := schema.MessageID("scrambler", uint64(n+1))
			if n%3 == 0 {
				id = fmt.Sprintf("own-id-%d", n)
			}
			l.tell(trial, n, may)
			for range 1 + r.IntN(3) {
				if !publishUntilStored(ctx, nc, trial, "scrambler", id, body(trial, n)) {
					return
				}
				l.tell(trial, n, must)
			}
		}
		if !sleep(ctx, size*time.Second/time.Duration(*rate)) {
			return
		}
	}
}

// body is an event with a time of its own: what is sent again must be the same.
func body(trial string, n int) []byte {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
	return fmt.Appendf(nil, `{"time":%q,"step":%d,"metrics":{"n":%d,"check":%d}}`, at.Format(time.RFC3339Nano), n, n, notes.Check(trial, n))
}

func publishUntilStored(ctx context.Context, nc *nats.Conn, trial, producer, id string, body []byte) bool {
	msg := nats.NewMsg(schema.Subject{Namespace: "default", Trial: trial, Producer: producer}.String())
	msg.Header.Set(schema.HeaderMsgID, id)
	msg.Data = body
	return poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		answer, err := nc.RequestMsgWithContext(limited, msg)
		return err == nil && stored(answer.Data)
	})
}
