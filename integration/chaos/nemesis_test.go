package chaos

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// record is what is known of one kind of fault.
type record struct {
	Times     int
	Bites     int
	Evidence  string        // of the last
	Recovery  time.Duration // the longest, until a new event was persisted after it
	recovered []time.Duration
}

// nemesis brings faults about.
type nemesis struct {
	*workload
	faults []fault
	begun  time.Time

	mu      sync.Mutex
	records map[string]*record
	present map[string]string // by group
	errors  []string
}

// randomOf gives each fault or group its own source, so that a seed gives the same schedule.
func randomOf(name string) *rand.Rand {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return rand.New(rand.NewPCG(*seed, sum.Sum64()))
}

// each brings every fault about, one after the other.
func (n *nemesis) each(ctx context.Context) {
	for _, f := range n.faults {
		r := randomOf(f.name)
		for range 3 {
			if ctx.Err() != nil || n.inflict(ctx, f, r) {
				break
			}
		}
	}
}

// mix brings faults of all groups about at the same time.
func (n *nemesis) mix(ctx context.Context) {
	var groups sync.WaitGroup
	byGroup := map[string][]fault{}
	for _, f := range n.faults {
		byGroup[f.group] = append(byGroup[f.group], f)
	}
	for name, faults := range byGroup {
		groups.Go(func() {
			r := randomOf("mix " + name)
			for sleep(ctx, between(r, 200*time.Millisecond, 4*time.Second)) {
				n.inflict(ctx, pick(r, faults), r)
			}
		})
	}
	groups.Wait()
}

// inflict brings one fault about, and says whether it bit.
func (n *nemesis) inflict(ctx context.Context, f fault, r *rand.Rand) bool {
	n.mark(f, f.name)
	defer n.mark(f, "")
	evidence, err := f.run(ctx, n.workload, r)
	if ctx.Err() != nil && evidence == "" {
		return false
	}
	took, recovered := n.probe()
	n.say(f, evidence, err, took)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.records[f.name] == nil {
		n.records[f.name] = &record{}
	}
	rec := n.records[f.name]
	rec.Times++
	if err != nil {
		n.errors = append(n.errors, fmt.Sprintf("%s: %v", f.name, err))
	}
	if !recovered {
		n.errors = append(n.errors, fmt.Sprintf("%s: a new event was not persisted within %v of its end", f.name, took))
	}
	if evidence == "" {
		return false
	}
	rec.Bites, rec.Evidence = rec.Bites+1, evidence
	rec.recovered = append(rec.recovered, took)
	rec.Recovery = max(rec.Recovery, took)
	return true
}

// say prints how it went.
func (n *nemesis) say(f fault, evidence string, err error, took time.Duration) {
	switch {
	case err != nil:
		evidence = err.Error()
	case evidence == "":
		evidence = "it did not bite"
	}
	fmt.Fprintf(os.Stderr, "%s: %s: %s; recovered in %v\n", n.clock(), f.name, evidence, took.Round(10*time.Millisecond))
}

// clock begins a line that tells how it goes.
func (n *nemesis) clock() string {
	return fmt.Sprintf("chaos %s/%d %5s", n.topology.database, n.topology.size, time.Since(n.begun).Round(time.Second))
}

func (n *nemesis) mark(f fault, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.present[f.group] = name; name == "" {
		delete(n.present, f.group)
	}
}

// now lists the faults of the moment.
func (n *nemesis) now() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for _, name := range n.present {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// probeTrial is reported by nobody but the probe.
const probeTrial = "probe"

// probe reports an event, past the proxies, and tells how long it takes until it is persisted.
func (n *nemesis) probe() (took time.Duration, persisted bool) {
	const patience = 5 * time.Minute // what comes beside a bad release, with all else broken, can wait for it
	n.workload.mu.Lock()
	n.probes++
	number := n.probes
	n.workload.mu.Unlock()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	base, _ := n.lastRow(ctx)
	if !publishUntilStored(ctx, n.js.Conn(), probeTrial, "probe", schema.MessageID("probe", uint64(number)), body(probeTrial, number)) {
		return time.Since(begin), false
	}
	persisted = poll(ctx, 20*time.Millisecond, func(ctx context.Context) bool {
		found, err := n.values(ctx, probeTrial, base-margin)
		return err == nil && slices.Contains(found, number)
	})
	return time.Since(begin), persisted
}
