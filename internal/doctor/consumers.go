package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/katib-stream/katib-stream/flush"
	"github.com/katib-stream/katib-stream/schema"
)

func (v *visit) lookAtConsumers(ctx context.Context) {
	running, known := v.lookAtRunning(ctx)
	if v.stream != nil && v.mayAsk(schema.Consumer, subjectDurable) {
		v.lookAtDurable(ctx)
	}
	if v.durable != nil && known {
		v.judgeLag(running)
	}
	if v.deadLetters == nil {
		return
	}
	if waiting := v.deadLetters.CachedInfo().State.Msgs; waiting > 0 {
		v.say("dead letters", Warn, count(waiting, "message")+" could not be persisted", "see why: `katib-stream deadletters ls --summary`")
		return
	}
	v.ok("dead letters", "none")
}

func (v *visit) lookAtDurable(ctx context.Context) {
	within, cancel := v.within(ctx)
	defer cancel()
	durable, err := v.stream.Consumer(within, schema.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		v.say(schema.Consumer, Fail, "the stream has no such consumer", v.fixable("make the consumer "+schema.Consumer, v.makeDurable))
		return
	case err != nil && !errors.Is(err, jetstream.ErrNotPullConsumer):
		v.say(schema.Consumer, Fail, inWords(err), "see whether it has a leader: `nats consumer info "+schema.Stream+" "+schema.Consumer+"`")
		return
	case err != nil:
		v.say(schema.Consumer, Fail, "messages are pushed, where consumers ask for them", anew)
		return
	}
	v.durable = durable.CachedInfo()
	if !v.judgeDurable(v.durable) {
		v.ok(schema.Consumer, "%s to deliver, %d in hand", count(v.durable.NumPending, "message"), v.durable.NumAckPending)
	}
	if v.durable.Paused {
		v.say(schema.Consumer, Fail, "it is paused, for "+v.durable.PauseRemaining.Round(time.Second).String()+" more", "nats consumer resume "+schema.Stream+" "+schema.Consumer)
	}
}

// anew is safe: the database knows what it has.
const anew = "nats consumer rm " + schema.Stream + " " + schema.Consumer + " (consumers make it anew; what the database has is recognised)"

func (v *visit) makeDurable(ctx context.Context) error {
	var cc jetstream.ConsumerConfig
	if err := json.Unmarshal(schema.ConsumerConfig, &cc); err != nil {
		return fmt.Errorf("read the built-in consumer configuration: %w", err)
	}
	_, err := v.js.CreateConsumer(ctx, schema.Stream, cc)
	return err
}

func (v *visit) judgeDurable(info *jetstream.ConsumerInfo) (drifted bool) {
	want, err := fields(schema.ConsumerConfig)
	have, haveErr := fields(info.Config)
	if err = errors.Join(err, haveErr); err != nil {
		v.skip(schema.Consumer, "%v", err)
		return true
	}
	found := drifts(want, have, consumerRules)
	v.sayDrifts(schema.Consumer, found, anew, func(ctx context.Context, names []string) error {
		cc, err := broughtBack(info.Config, want, names)
		if err == nil {
			_, err = v.js.UpdateConsumer(ctx, schema.Stream, cc)
		}
		return err
	})
	return len(found) > 0
}

// judgeLag tells messages that wait for a moment from those that nobody will fetch.
func (v *visit) judgeLag(running int) {
	waiting := v.durable.NumPending + uint64(v.durable.NumAckPending)
	const mend = "katib-stream consumer --server … --db …"
	switch {
	case running == 0 && v.durable.NumWaiting == 0 && waiting > 0:
		v.say("running", Fail, count(waiting, "message")+" to persist, and no consumer runs", mend)
	case running == 0 && v.durable.NumWaiting == 0:
		v.say("running", Warn, "no consumer runs", mend)
	case running == 0:
		v.say("running", Warn, "a consumer fetches, but none answers whether reports are persisted", "give consumers the permissions of docs/operating.md: to subscribe to katib.flush.*.* and $SRV.>, and allow_responses")
	default:
		v.ok("running", "%s", count(uint64(running), "consumer"))
	}
}

// lookAtRunning counts the consumers that answer, and compares their versions with this program's. Who asks can't know how
// many will; it waits for a moment.
func (v *visit) lookAtRunning(ctx context.Context) (running int, known bool) {
	if !v.mayAsk("running", subjectVersions) {
		return 0, false
	}
	answers, err := v.services(ctx)
	if err != nil {
		v.skip("running", "%s", inWords(err))
		return 0, false
	}
	others := map[string]int{}
	for _, answer := range answers {
		if version := answer.Metadata[flush.MetadataVersion]; version != v.cfg.Version {
			others[version]++
		}
	}
	switch {
	case len(answers) == 0:
		v.ok("version", "this program is %s", v.cfg.Version)
	case len(others) == 0:
		v.ok("version", "this program and every consumer that answers are %s", v.cfg.Version)
	default:
		v.say("version", Warn, "this program is "+v.cfg.Version+", but "+versions(others), "run one version everywhere; migrations of the newest come first")
	}
	return len(answers), true
}

func versions(counts map[string]int) string {
	var texts []string
	for _, version := range slices.Sorted(maps.Keys(counts)) {
		text := count(uint64(counts[version]), "consumer") + " of " + version
		if version == "" {
			text = count(uint64(counts[version]), "consumer") + " of a version from before they said it"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// services asks all consumers at once, and listens until none has answered for a while.
func (v *visit) services(ctx context.Context) ([]micro.Info, error) {
	const quiet = 500 * time.Millisecond
	inbox := v.nc.NewInbox()
	sub, err := v.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := v.nc.PublishRequest(subjectVersions, inbox, nil); err != nil {
		return nil, err
	}
	within, cancel := v.within(ctx)
	defer cancel()
	var answers []micro.Info
	for {
		msg, err := sub.NextMsg(quiet)
		if err != nil || within.Err() != nil { // nobody is there, or nobody more
			return answers, ctx.Err()
		}
		var info micro.Info
		if json.Unmarshal(msg.Data, &info) == nil && info.Name == "katib-flush" {
			answers = append(answers, info)
		}
	}
}
