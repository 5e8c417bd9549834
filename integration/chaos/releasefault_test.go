package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/integration/faults"
	"github.com/katib-stream/katib-stream/schema"
)

// killers are the messages that a bad release dies of. What has become of them is looked at by the fault itself.
const killerTrial = "poison-killer"

// releaseBadly rolls a release out that dies of a message, until that one is in quarantine, and rolls it back.
func releaseBadly(ctx context.Context, l *workload, r *rand.Rand) (evidence string, err error) {
	before := l.starts()
	for _, s := range l.consumers {
		if err := s.release(filepath.Join(l.bin, badRelease), true); err != nil {
			return "", err
		}
	}
	defer func() {
		for _, s := range l.consumers {
			err = errors.Join(err, s.release(filepath.Join(l.bin, product), false))
		}
	}()
	l.killers++
	id := fmt.Sprintf("killer:%d", l.killers)
	msg := nats.NewMsg(schema.Subject{Namespace: "default", Trial: killerTrial, Producer: "killer"}.String())
	msg.Header.Set(schema.HeaderMsgID, id)
	msg.Data = fmt.Appendf(nil, `{"metrics":{%q:1}}`, pick(r, []string{faults.KillsDecoders, faults.KillsWriters}))
	poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
		_, err := l.js.PublishMsg(ctx, msg)
		return err == nil
	})
	limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	poll(limited, 200*time.Millisecond, func(ctx context.Context) bool {
		letters, err := l.js.Stream(ctx, schema.DeadLetterStream)
		if err != nil {
			return false
		}
		letter, err := letters.GetLastMsgForSubject(ctx, schema.DeadLetterPrefix+".default."+killerTrial+".killer")
		if err != nil || letter.Header.Get("Orig-Msg-Id") != id {
			return false
		}
		evidence = fmt.Sprintf("consumers were started %d times, then it was a dead letter: %s", l.starts()-before, letter.Header.Get(schema.HeaderStage))
		return true
	})
	return evidence, nil
}

// starts is how often consumers were started.
func (l *workload) starts() (all int) {
	for _, s := range l.consumers {
		starts, _ := s.counted()
		all += starts
	}
	return all
}
