package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
)

// judgeFullness warns where the janitor, which keeps a tenth free, did not find enough to trim.
func (v *visit) judgeFullness(info *jetstream.StreamInfo) {
	limit := info.Config.MaxBytes
	if limit <= 0 {
		return
	}
	used := float64(info.State.Bytes) / float64(limit)
	detail := fmt.Sprintf("%.0f %% of %s are used", 100*used, humanize.IBytes(uint64(limit)))
	mend := fmt.Sprintf("more consumers, a faster database, or `nats stream edit %s --max-bytes=%d`", info.Config.Name, 2*limit)
	switch {
	case used >= 0.98:
		v.say(info.Config.Name, Fail, detail+"; a full stream refuses reports", mend)
	case used >= 0.92:
		v.say(info.Config.Name, Warn, detail+"; a full stream refuses reports", mend)
	}
}

// judgeReplicas looks for a leader and for replicas that lag behind.
func (v *visit) judgeReplicas(info *jetstream.StreamInfo) {
	name := info.Config.Name
	if info.Cluster == nil || v.nc.ConnectedClusterName() == "" {
		return
	}
	if info.Config.Replicas == 1 {
		v.say(name, Warn, "it has one copy in a cluster: with its server it is away", "nats stream edit "+name+" --replicas=3")
	}
	if info.Cluster.Leader == "" {
		v.say(name, Fail, "it has no leader, and takes nothing", "bring back most of its servers: `nats stream info "+name+"`")
		return
	}
	var behind []string
	away := 0
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline {
			away++
		}
		if peer.Offline || !peer.Current {
			behind = append(behind, peer.Name)
		}
	}
	names := strings.Join(behind, ", ")
	switch {
	case away > (info.Config.Replicas-1)/2:
		v.say(name, Fail, "most of its copies are away, and it takes nothing: "+names, "bring back those servers")
	case len(behind) > 0:
		v.say(name, Warn, "replicas are not current: "+names, "bring back those servers, or replace one for good: `nats stream cluster peer-remove "+name+" "+behind[0]+"`")
	}
}

func replicas(info *jetstream.StreamInfo) string {
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return fmt.Sprintf("R%d", info.Config.Replicas)
	}
	return fmt.Sprintf("R%d, leader %s", info.Config.Replicas, info.Cluster.Leader)
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clockReading compares a clock that is asked with ours.
type clockReading time.Time

func clockNow() clockReading { return clockReading(time.Now()) }

// skew is how far the other clock is ahead, give or take trip.
func (c clockReading) skew(there time.Time) (skew, trip time.Duration) {
	begin := time.Time(c)
	if there.IsZero() {
		return 0, 0
	}
	trip = time.Since(begin)
	return there.Sub(begin.Add(trip / 2)), trip
}
