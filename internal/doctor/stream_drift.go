package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// judgeStream reports each field that is not as schema has it, and says whether there is one.
func (v *visit) judgeStream(info *jetstream.StreamInfo, config []byte) bool {
	name := info.Config.Name
	want, err := fields(config)
	have, haveErr := fields(info.Config)
	if err = errors.Join(err, haveErr); err != nil {
		v.skip(name, "%v", err)
		return true
	}
	found := exceptions(info.Config, drifts(want, have, streamRules))
	v.sayDrifts(name, found, "back it up with `nats stream backup "+name+" DIR`, remove it when everything is persisted, and let `katib-stream doctor --fix` make it anew",
		func(ctx context.Context, names []string) error {
			sc, err := broughtBack(info.Config, want, names)
			if err == nil {
				sc.Subjects = union(info.Config.Subjects, sc.Subjects)
				_, err = v.js.UpdateStream(ctx, sc)
			}
			return err
		})
	if info.Config.MaxBytes <= 0 {
		v.say(name, Fail, "max_bytes is not set, so that it takes all of the server's disk", "nats stream edit "+name+" --max-bytes=10GB")
	}
	return len(found) > 0
}

// sayDrifts reports fields; those that can go back to schema's without a loss are mended together.
func (v *visit) sayDrifts(check string, found []drift, otherwise string, bring func(context.Context, []string) error) {
	safe, mend := safely(found), ""
	if len(safe) > 0 {
		mend = v.fixable("bring "+strings.Join(safe, ", ")+" of "+check+" back", func(ctx context.Context) error { return bring(ctx, safe) })
	}
	for _, d := range found {
		switch {
		case d.status == Note:
			v.say(check, Note, d.String(), "")
		case d.safe:
			v.say(check, d.status, d.String(), mend)
		default:
			v.say(check, d.status, d.String(), otherwise)
		}
	}
}

// exceptions are where a rule depends on more than its field: a stream may have more subjects than schema's, which is worth
// a word, and lacking one can be mended; a work queue stays one.
func exceptions(sc jetstream.StreamConfig, found []drift) []drift {
	for i := range found {
		switch d := &found[i]; d.field {
		case "retention":
			d.safe = sc.Retention != jetstream.WorkQueuePolicy
		case "subjects":
			if lacks(sc.Subjects, d.want) {
				d.safe = sc.Mirror == nil
			} else {
				d.status, d.why = Note, "it stores more than what is reported"
			}
		}
	}
	return found
}

func lacks(subjects []string, want any) bool {
	all, _ := want.([]any)
	return slices.ContainsFunc(all, func(subject any) bool {
		text, _ := subject.(string)
		return !slices.Contains(subjects, text)
	})
}

// union is want, and what have has beside it.
func union(have, want []string) []string {
	all := slices.Clone(want)
	for _, subject := range have {
		within := func(wide string) bool {
			return subject == wide || strings.HasPrefix(subject, strings.TrimSuffix(wide, ">"))
		}
		if !slices.ContainsFunc(want, within) {
			all = append(all, subject)
		}
	}
	return all
}
