package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

func natsFaults() []fault {
	return []fault{
		{name: "NATS killed", group: "nats", run: killLeader},
		{name: "NATS stopped and continued", group: "nats", run: pauseNATS},
		{name: "NATS restarted, node by node", group: "nats", run: rollNATS, cluster: true},
		{name: "stream full", group: "nats", run: fillStream},
		{name: "NATS's disk full", group: "nats", run: fillDisk},
	}
}

// leader is the node that leads the stream; the only one where there is one.
func (l *workload) leader(ctx context.Context) (*node, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return nil, err
	}
	if cluster := stream.CachedInfo().Cluster; cluster != nil {
		for _, n := range l.nodes {
			if n.name == cluster.Leader {
				return n, nil
			}
		}
	}
	return l.nodes[0], nil
}

func (w *world) stream(ctx context.Context) (stream jetstream.Stream, err error) {
	poll(ctx, 100*time.Millisecond, func(ctx context.Context) bool {
		stream, err = w.js.Stream(ctx, schema.Stream)
		return err == nil
	})
	return stream, err
}

// killLeader kills the server, or in a cluster the leader of the stream, and starts it again after a while.
func killLeader(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	n, err := l.leader(ctx)
	if err != nil {
		return "", err
	}
	before, _ := n.counted()
	n.gate.Lock()
	err = n.kill()
	sleep(ctx, between(r, 0, 3*time.Second))
	n.gate.Unlock()
	if err != nil {
		return "", err
	}
	return startedAgain(ctx, n.service, before), l.healthy(ctx)
}

func pauseNATS(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	n, err := l.leader(ctx)
	if err != nil {
		return "", err
	}
	p := n.current()
	if err := p.Pause(); err != nil {
		return "", err
	}
	sleep(ctx, between(r, time.Second, 5*time.Second))
	if err := p.Resume(); err != nil {
		return "", err
	}
	return n.name + " stood still", l.healthy(ctx)
}

func rollNATS(ctx context.Context, l *workload, _ *rand.Rand) (string, error) {
	for _, n := range l.nodes {
		before, _ := n.counted()
		if err := n.restart(); err != nil {
			return "", err
		}
		if startedAgain(ctx, n.service, before) == "" {
			return "", ctx.Err()
		}
		if err := l.healthy(ctx); err != nil {
			return "", err
		}
	}
	return "three nodes were restarted", nil
}

// healthy waits until the stream's replicas are all current.
func (l *workload) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	state := "no answer"
	ok := poll(ctx, 100*time.Millisecond, func(ctx context.Context) bool {
		stream, err := l.js.Stream(ctx, schema.Stream)
		if err != nil {
			state = err.Error()
			return false
		}
		cluster := stream.CachedInfo().Cluster
		state = fmt.Sprintf("%+v", cluster)
		if cluster == nil || len(l.nodes) == 1 {
			return true
		}
		current := 0
		for _, replica := range cluster.Replicas {
			if replica.Current && !replica.Offline {
				current++
			}
		}
		return cluster.Leader != "" && current == len(l.nodes)-1
	})
	if !ok && ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("the stream is not healthy a minute later: %s", state)
	}
	return nil
}

// fillStream takes the stream's room away for a while.
func fillStream(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return "", err
	}
	cfg := stream.CachedInfo().Config
	full := cfg
	full.MaxBytes = int64(stream.CachedInfo().State.Bytes) + 1
	if _, err := l.js.UpdateStream(ctx, full); err != nil {
		return "", fmt.Errorf("take the stream's room: %w", err)
	}
	refused := ""
	poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
		_, err := l.js.Publish(ctx, schema.Subject{Namespace: "default", Trial: "poison-full", Producer: "me"}.String(), []byte("no room for this"))
		var api *jetstream.APIError
		if errors.As(err, &api) {
			refused = api.Description
		}
		return err != nil
	})
	sleep(ctx, between(r, time.Second, 4*time.Second))
	back := poll(context.WithoutCancel(ctx), 100*time.Millisecond, func(ctx context.Context) bool {
		_, err = l.js.UpdateStream(ctx, cfg)
		return err == nil
	})
	if !back {
		return "", fmt.Errorf("give the stream its room back: %w", err)
	}
	return refused, nil
}

// fillDisk lets no file of the server, or in a cluster of the stream's leader, grow any more, until it is restarted, as it
// has to be when its disk was full.
func fillDisk(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	n, err := l.leader(ctx)
	if err != nil {
		return "", err
	}
	before, _ := n.counted()
	limit := exec.Command("prlimit", "--pid", strconv.Itoa(n.current().PID()), "--fsize=1")
	if out, err := limit.CombinedOutput(); err != nil {
		return "", fmt.Errorf("limit the files of %s: %w: %s", n.name, err, out)
	}
	refused := ""
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	poll(limited, 50*time.Millisecond, func(ctx context.Context) bool {
		_, err := l.js.Publish(ctx, schema.Subject{Namespace: "default", Trial: "poison-full", Producer: "me"}.String(), []byte("no disk for this"))
		if err != nil {
			refused = "a publish failed: " + err.Error()
		}
		return err != nil
	})
	sleep(ctx, between(r, time.Second, 3*time.Second))
	if err := n.kill(); err != nil {
		return "", err
	}
	if startedAgain(ctx, n.service, before) == "" {
		return "", ctx.Err()
	}
	return refused, l.healthy(ctx)
}
