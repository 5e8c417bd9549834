package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

// reach asks each server by itself, and keeps the first that answers.
func (v *visit) reach(ctx context.Context) {
	servers, _ := v.cfg.NATS.Each() // Run has looked at the error
	conns, errs := make([]*nats.Conn, len(servers)), make([]error, len(servers))
	ctx, cancel := v.within(ctx)
	defer cancel()
	var all sync.WaitGroup
	for n, server := range servers {
		all.Go(func() { conns[n], errs[n] = natsconn.ConnectOnce(ctx, server) })
	}
	all.Wait()
	first := slices.IndexFunc(conns, func(nc *nats.Conn) bool { return nc != nil })
	for n, nc := range conns {
		switch {
		case nc != nil:
			v.ok("server", "%s answers (%s, version %s)", natsconn.Redact(nc.ConnectedUrl()), nc.ConnectedServerName(), nc.ConnectedServerVersion())
			v.versions = append(v.versions, nc.ConnectedServerVersion())
			if n != first {
				nc.Close()
			}
		case first >= 0:
			v.cannotReach(Warn, errs[n])
		default:
			v.cannotReach(Fail, errs[n])
		}
	}
	if first < 0 {
		v.skip("everything else of NATS", "NATS is not reachable")
		return
	}
	js, err := jetstream.New(conns[first], jetstream.WithDefaultTimeout(v.cfg.Timeout))
	if err != nil {
		conns[first].Close()
		v.skip("everything else of NATS", "%v", err)
		return
	}
	v.nc, v.js = conns[first], js
}

// cannotReach takes the remedy from the error, which ends with one.
func (v *visit) cannotReach(status Status, err error) {
	text := err.Error()
	mend := "start it, or correct --server"
	if cut := strings.LastIndex(text, "; "); cut > 0 {
		text, mend = text[:cut], text[cut+2:]
	}
	v.say("server", status, text, mend)
}

func (v *visit) lookAtServer(ctx context.Context) {
	for _, version := range slices.Compact(slices.Sorted(slices.Values(v.versions))) {
		v.judgeVersion(version)
	}
	v.judgePayload(v.nc.MaxPayload())
	v.measureTrip(ctx)
}

// judgeVersion knows which servers have faults that matter here.
func (v *visit) judgeVersion(version string) {
	const check, mend = "server version", "upgrade nats-server to 2.15.2 or later, 2.14.5, or 2.12.15"
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		v.say(check, Warn, "cannot tell what version "+version+" is", mend)
		return
	}
	least := map[int]int{12: 15, 14: 5, 15: 2}
	patchNeeded, known := least[minor]
	switch {
	case major == 2 && (minor == 14 && patch == 4 || minor == 12 && patch == 14):
		v.say(check, Fail, version+" can make a stream anew, and lose it, that is only to be made if it does not exist", mend)
	case major > 2, major == 2 && minor > 15, major == 2 && known && patch >= patchNeeded:
		v.ok(check, "%s", version)
	default:
		v.say(check, Warn, version+" has faults in streams and replicas that were mended later", mend)
	}
}

// judgePayload compares the largest message with what schema allows: a value of 65,535 bytes, what is around it, and room
// for a dead letter's reason.
func (v *visit) judgePayload(largest int64) {
	const check, usual, least = "max payload", 1 << 20, 65_535 + 2*schema.PayloadReserve
	const mend = "max_payload: 1MB in the server's configuration, on every server"
	switch {
	case largest < least:
		v.say(check, Fail, fmt.Sprintf("%d bytes; the largest value that may be reported needs %d", largest, least), mend)
	case largest < usual:
		v.say(check, Warn, fmt.Sprintf("%d bytes; smaller messages mean more of them", largest), mend)
	default:
		v.ok(check, "%d bytes", largest)
	}
}

func (v *visit) measureTrip(ctx context.Context) {
	const check, slow = "round trip", 100 * time.Millisecond
	within, cancel := v.within(ctx)
	defer cancel()
	begin := time.Now()
	if err := v.nc.FlushWithContext(within); err != nil {
		v.say(check, Fail, inWords(err), "look at the network between here and "+natsconn.Redact(v.nc.ConnectedUrl()))
		return
	}
	trip := time.Since(begin)
	if trip > slow {
		v.say(check, Warn, trip.Round(time.Millisecond).String(), "run katib-stream nearer to NATS: a consumer waits for several round trips a batch")
		return
	}
	v.ok(check, "%v", trip.Round(10*time.Microsecond))
}
