// Package doctor looks at a deployment, from NATS to the database, for what would lose events or keep them from being
// persisted, says of each finding how to mend it, and mends what is safe.
package doctor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
)

// Config says what to look at.
type Config struct {
	NATS natsconn.Config
	// Database is nil when only NATS is to be looked at.
	Database *katibdb.Config
	// Role is whose rights the user of NATS must have: one of Roles.
	Role string
	// Namespace is the one that rights to report are tried in.
	Namespace string
	// Version is this program's own.
	Version string
	// Streams is how missing streams would be made.
	Streams consumer.StreamConfig
	// Timeout bounds each check.
	Timeout time.Duration
	// Fix mends what is safe, and looks again.
	Fix bool
}

// visit is one look at a deployment. Its parts run one after the other, and those later use what the earlier found.
type visit struct {
	cfg      Config
	nc       *nats.Conn // nil when NATS is not reachable
	js       jetstream.JetStream
	versions []string        // of the servers that answered
	room     *int64          // bytes that the account still has for streams; nil means no limit that is known
	denied   map[string]bool // attempts, by what a server calls them
	untried  error           // why some could not be tried
	// streams and durable are nil where they do not exist, or must not be looked at.
	stream, deadLetters jetstream.Stream
	durable             *jetstream.ConsumerInfo
	db                  *katibdb.DB         // nil without a database that answers
	inspected           *katibdb.Inspection // likewise
	skew, trip          time.Duration       // of the NATS server's clock, when trip is not 0
	report              Report
	fixes               []fix
	group               string
}

// fix mends something; what it says is what it does.
type fix struct {
	says string
	do   func(context.Context) error
}

// Run looks at everything that can be reached; that something cannot is a finding. The error is one of cfg, or of ctx.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if _, err := cfg.NATS.Each(); err != nil {
		return Report{}, err
	}
	var fixed []Fixed
	for {
		v := look(ctx, cfg)
		if ctx.Err() != nil {
			v.leave()
			return Report{}, ctx.Err()
		}
		tried := len(fixed)
		if cfg.Fix {
			fixed = v.mend(ctx, fixed)
		}
		v.leave()
		if len(fixed) == tried {
			v.report.Fixed = fixed
			return v.report, nil
		}
	}
}

// look is a whole visit. The caller leaves it.
func look(ctx context.Context, cfg Config) *visit {
	v := &visit{cfg: cfg, denied: map[string]bool{}}
	v.in("NATS")
	v.reach(ctx)
	if v.nc != nil {
		v.lookAtServer(ctx)
		v.in("permissions")
		if v.tryRights(ctx) {
			v.lookAtJetStream(ctx)
		}
	}
	v.in("database")
	v.lookAtDatabase(ctx)
	v.in("durability")
	v.lookAtDurability()
	v.in("clocks")
	v.lookAtClocks()
	return v
}

func (v *visit) lookAtJetStream(ctx context.Context) {
	v.in("JetStream")
	if v.lookAtAccount(ctx) {
		v.lookAtStreams(ctx)
	}
	v.in("consumers")
	v.lookAtConsumers(ctx)
}

func (v *visit) leave() {
	if v.nc != nil {
		v.nc.Close()
	}
	if v.db != nil {
		_ = v.db.Close() // nothing was left open in it
	}
}

// mend does what the visit found to be safe, and what no earlier one has tried: one thing mended may show another.
func (v *visit) mend(ctx context.Context, tried []Fixed) []Fixed {
	for _, f := range v.fixes {
		if slices.ContainsFunc(tried, func(earlier Fixed) bool { return earlier.Says == f.says }) {
			continue
		}
		within, cancel := v.within(ctx)
		err := f.do(within)
		cancel()
		fixed := Fixed{Says: f.says}
		if err != nil {
			fixed.Error = inWords(err)
		}
		tried = append(tried, fixed)
	}
	return tried
}

// within bounds a check.
func (v *visit) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, v.cfg.Timeout)
}

// fixable notes how to mend what was found, once, and returns the command for that.
func (v *visit) fixable(says string, do func(context.Context) error) string {
	if !slices.ContainsFunc(v.fixes, func(f fix) bool { return f.says == says }) {
		v.fixes = append(v.fixes, fix{says, do})
	}
	return "katib-stream doctor --fix: " + says
}

// inWords is an error without what every user of a context knows.
func inWords(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
