package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lookAtAccount reads what the account may still do, and says whether there is any use in asking more. Streams that exist
// have their room reserved already.
func (v *visit) lookAtAccount(ctx context.Context) bool {
	const check = "account"
	if !v.mayAsk(check, subjectAccount) {
		return true
	}
	within, cancel := v.within(ctx)
	defer cancel()
	info, err := v.js.AccountInfo(within)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		v.say(check, Fail, "it has no JetStream", "start the server with `nats-server -js`, or enable JetStream for this account")
		return false
	case err != nil:
		v.say(check, Fail, "JetStream does not say what it may do: "+inWords(err), "see whether JetStream is well: `nats server report jetstream` as the system account")
		return false
	}
	v.judgeAccount(info)
	return true
}

// judgeAccount wants room for the streams, where they do not exist, and for a reader's consumers.
func (v *visit) judgeAccount(info *jetstream.AccountInfo) {
	const check, mend = "account", "raise the account's JetStream limits (jetstream { max_file, max_streams, max_consumers }, or `nsc edit account --js-disk-storage …`)"
	tier := jetstream.Tier{Store: info.Store, ReservedStore: info.ReservedStore, Streams: info.Streams, Consumers: info.Consumers, Limits: info.Limits}
	name := fmt.Sprintf("R%d", max(1, v.cfg.Streams.Replicas))
	if limits, tiered := info.Tiers[name]; tiered {
		tier = limits
	} else if len(info.Tiers) > 0 {
		v.say(check, Warn, "it has no room for streams of "+name, mend)
		return
	}
	if tier.Limits.MaxConsumers > 0 && tier.Consumers >= tier.Limits.MaxConsumers {
		v.say(check, Fail, fmt.Sprintf("it has %d of %d consumers; reads, the janitor and flushes need more", tier.Consumers, tier.Limits.MaxConsumers), mend)
	}
	if tier.Limits.MaxStore < 0 {
		v.ok(check, "JetStream is enabled, the account has no limit of its own (%s stored)", humanize.IBytes(tier.Store))
		return
	}
	taken, copies := max(tier.Store, tier.ReservedStore), int64(max(1, v.cfg.Streams.Replicas))
	if len(info.Tiers) > 0 {
		copies = 1 // a tier counts a message once
	}
	room := (tier.Limits.MaxStore - int64(taken)) / copies
	v.room = &room
	detail := fmt.Sprintf("%s of %s are taken or reserved by streams", humanize.IBytes(taken), humanize.IBytes(uint64(tier.Limits.MaxStore)))
	if room < 0 {
		v.say(check, Fail, detail+": it is full before its streams are", mend)
		return
	}
	v.ok(check, "JetStream is enabled, %s", detail)
}
