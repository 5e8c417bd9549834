package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// linkFaults cut, delay and break the connections between every two parts.
func linkFaults() []fault {
	var all []fault
	for _, name := range []string{"producers-nats", "consumers-nats", "manager-nats", "consumers-database", "manager-database", "clients-manager"} {
		for _, way := range []struct {
			name string
			run  func(ctx context.Context, l *link, r *rand.Rand) error
			bite func(opened, passed int64) string
		}{{"cut", cut, reopened}, {"slow", slow, crept}, {"reset half-way", reset, reopened}} {
			all = append(all, fault{name: name + " " + way.name, group: "links", run: onLinks(name, way.run, way.bite)})
		}
	}
	return all
}

func reopened(opened, _ int64) string {
	if opened > 0 {
		return fmt.Sprintf("%d connections were opened anew", opened)
	}
	return ""
}

func crept(_, passed int64) string {
	if passed > 0 {
		return fmt.Sprintf("%d bytes went the slow way", passed)
	}
	return ""
}

// onLinks does it to one of the links of that name after the other, and looks for what bite wants to see.
func onLinks(name string, do func(context.Context, *link, *rand.Rand) error, bite func(opened, passed int64) string) func(context.Context, *workload, *rand.Rand) (string, error) {
	return func(ctx context.Context, w *workload, r *rand.Rand) (string, error) {
		opened, passed := traffic(w.links[name])
		for _, l := range w.links[name] {
			if err := do(ctx, l, r); err != nil {
				return "", fmt.Errorf("%s: %w", l.name, err)
			}
		}
		evidence := ""
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		poll(limited, 50*time.Millisecond, func(context.Context) bool {
			o, p := traffic(w.links[name])
			evidence = bite(o-opened, p-passed)
			return evidence != ""
		})
		return evidence, nil
	}
}

func traffic(links []*link) (opened, passed int64) {
	for _, l := range links {
		opened += l.hop.opened.Load()
		passed += l.hop.passed.Load()
	}
	return opened, passed
}

func cut(ctx context.Context, l *link, r *rand.Rand) error {
	l.proxy.Stop()
	sleep(ctx, between(r, 100*time.Millisecond, 2*time.Second))
	return l.proxy.Start()
}

func slow(ctx context.Context, l *link, r *rand.Rand) error {
	return l.afflict(ctx, between(r, time.Second, 3*time.Second), `{"name":"down","type":"latency","stream":"downstream","attributes":{"latency":150,"jitter":100}}`,
		`{"name":"up","type":"latency","stream":"upstream","attributes":{"latency":150,"jitter":100}}`)
}

// reset closes connections with RST, after some bytes of a message have passed.
func reset(ctx context.Context, l *link, r *rand.Rand) error {
	return l.afflict(ctx, between(r, time.Second, 2*time.Second),
		fmt.Sprintf(`{"name":"half","type":"limit_data","stream":"upstream","attributes":{"bytes":%d}}`, 200+r.IntN(4000)),
		`{"name":"reset","type":"reset_peer","stream":"downstream","toxicity":0.3,"attributes":{"timeout":50}}`)
}

func (l *link) afflict(ctx context.Context, d time.Duration, toxics ...string) error {
	for _, toxic := range toxics {
		if err := l.add(toxic); err != nil {
			return err
		}
	}
	sleep(ctx, d)
	l.proxy.Toxics.ResetToxics(context.WithoutCancel(ctx))
	return nil
}
