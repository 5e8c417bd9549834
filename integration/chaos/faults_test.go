package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is something that is brought about, and passes.
type fault struct {
	name string
	// group is what it befalls. Of a group one fault happens at a time.
	group string
	// run brings it about, ends it, and says by what it showed that it bit; "" when it did not.
	run func(ctx context.Context, l *workload, r *rand.Rand) (evidence string, err error)
	// cluster is for faults that need three nodes.
	cluster bool
}

func allFaults(top topology) []fault {
	all := []fault{
		{name: "consumer killed", group: "consumers", run: killOne(func(l *workload) []*service { return l.consumers })},
		{name: "all consumers killed", group: "consumers", run: killConsumers},
		{name: "consumer stopped and continued", group: "consumers", run: pauseConsumer},
		{name: "consumers rolled over", group: "consumers", run: rollConsumers},
		{name: "bad release, which dies of a message", group: "consumers", run: releaseBadly},
		{name: "db-manager killed", group: "manager", run: killOne(func(l *workload) []*service { return []*service{l.manager} })},
		{name: "db-manager stopped and continued", group: "manager", run: pauseOne(func(l *workload) []*service { return []*service{l.manager} })},
		{name: "producer killed", group: "producers", run: killOne(anyTrainer)},
		{name: "producer killed, its spool torn", group: "producers", run: tearSpool},
		{name: "producer stopped and continued", group: "producers", run: pauseOne(anyTrainer)},
		{name: "producer terminated", group: "producers", run: terminateProducer},
		{name: "producer's clock stepped", group: "producers", run: stepClock},
		{name: "messages repeated after the duplicate window", group: "stream", run: repeatMessages},
		{name: "everything delivered again", group: "stream", run: redeliver},
		{name: "a thousand poison messages", group: "stream", run: poison},
		{name: "trial deleted in mid-run", group: "stream", run: deleteTrial},
	}
	all = append(all, natsFaults()...)
	all = append(all, databaseFaults(top)...)
	all = append(all, linkFaults()...)
	kept := all[:0]
	for _, f := range all {
		if !f.cluster || top.size > 1 {
			kept = append(kept, f)
		}
	}
	return kept
}

func anyTrainer(l *workload) []*service { return l.trainers }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// between is a random duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// startedAgain waits until a service runs again.
func startedAgain(ctx context.Context, s *service, before int) string {
	again := poll(ctx, 20*time.Millisecond, func(context.Context) bool {
		starts, _ := s.counted()
		return starts > before
	})
	if !again {
		return ""
	}
	return s.name + " was started again"
}

func killOne(of func(*workload) []*service) func(context.Context, *workload, *rand.Rand) (string, error) {
	return func(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
		s := pick(r, of(l))
		before, _ := s.counted()
		s.gate.Lock()
		err := s.kill()
		sleep(ctx, between(r, 0, 3*time.Second))
		s.gate.Unlock()
		if err != nil {
			return "", err
		}
		return startedAgain(ctx, s, before), nil
	}
}

func killConsumers(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	for _, s := range l.consumers {
		s.gate.Lock()
		defer s.gate.Unlock()
		if err := s.kill(); err != nil {
			return "", err
		}
	}
	sleep(ctx, between(r, time.Second, 4*time.Second))
	return fmt.Sprintf("%d consumers were killed", len(l.consumers)), nil
}

// pauseConsumer stops one for longer than the acknowledgement wait, so that what it has goes to the other too.
func pauseConsumer(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	before := l.metrics.total("katib_stream_redeliveries_total")
	p := pick(r, l.consumers).current()
	if err := p.Pause(); err != nil {
		return "", err
	}
	sleep(ctx, between(r, 4*time.Second, 6*time.Second))
	if err := p.Resume(); err != nil {
		return "", err
	}
	sleep(ctx, time.Second)
	return grown(l, "katib_stream_redeliveries_total", before, "messages were delivered again"), nil
}

// grown says by how much a counter of the consumers grew.
func grown(l *workload, counter string, before float64, what string) string {
	if grown := l.metrics.total(counter) - before; grown > 0 {
		return fmt.Sprintf("%.0f %s", grown, what)
	}
	return ""
}

func pauseOne(of func(*workload) []*service) func(context.Context, *workload, *rand.Rand) (string, error) {
	return func(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
		s := pick(r, of(l))
		p := s.current()
		if err := p.Pause(); err != nil {
			return "", err
		}
		sleep(ctx, between(r, time.Second, 4*time.Second))
		return s.name + " stood still", p.Resume()
	}
}

func rollConsumers(ctx context.Context, l *workload, _ *rand.Rand) (string, error) {
	for _, s := range l.consumers {
		before, _ := s.counted()
		if err := s.restart(); err != nil {
			return "", err
		}
		if startedAgain(ctx, s, before) == "" {
			return "", ctx.Err()
		}
	}
	return "both were replaced", nil
}

func terminateProducer(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	s := pick(r, l.trainers)
	before, _ := s.counted()
	if err := s.restart(); err != nil {
		return "", err
	}
	return startedAgain(ctx, s, before), nil
}

func stepClock(_ context.Context, l *workload, _ *rand.Rand) (string, error) {
	for _, s := range l.trainers {
		if err := s.current().Signal(syscall.SIGUSR1); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d clocks stepped", len(l.trainers)), nil
}
