package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// Roles are those whose rights can be asked for.
var Roles = []string{"consumer", "db-manager", "producer", "reader"}

const (
	subjectAccount  = "$JS.API.INFO"
	subjectStream   = "$JS.API.STREAM.INFO." + schema.Stream
	subjectDead     = "$JS.API.STREAM.INFO." + schema.DeadLetterStream
	subjectDurable  = "$JS.API.CONSUMER.INFO." + schema.Stream + "." + schema.Consumer
	subjectGet      = "$JS.API.DIRECT.GET." + schema.Stream
	subjectGetDead  = "$JS.API.DIRECT.GET." + schema.DeadLetterStream
	subjectServices = "$SRV.PING.katib-flush"
	subjectVersions = "$SRV.INFO.katib-flush"

	// nobody is a name that no trial, stream or consumer has, for requests that must come to nothing.
	nobody = "katib-doctor"
)

// right is one that is tried. The server looks at permissions before anything else, so what is sent can be what comes to
// nothing when it is let through: a message for a stream of another name, which JetStream refuses, or a request that is no
// JSON. A purge is not tried: without a body that can be read it empties the stream.
type right struct {
	subject   string
	subscribe bool
	message   bool // it goes to a stream, not to an API
	optional  bool // the role's main work goes on without it
}

func publish(subjects ...string) []right {
	rights := make([]right, len(subjects))
	for i, subject := range subjects {
		rights[i].subject = subject
	}
	return rights
}

// rightsOf is the table of docs/operating.md.
func rightsOf(role, namespace string) []right {
	const create, next = "$JS.API.CONSUMER.CREATE." + schema.Stream + ".", "$JS.API.CONSUMER.MSG.NEXT." + schema.Stream + "."
	token := schema.EncodeToken(namespace)
	switch role {
	case "producer":
		return []right{
			{subject: schema.SubjectPrefix + "." + token + "." + nobody + ".me", message: true},
			{subject: schema.FlushPrefix + "." + token + "." + nobody, optional: true},
		}
	case "consumer":
		return append(publish(subjectStream, subjectDead, subjectDurable, create+schema.Consumer, next+schema.Consumer, "$JS.ACK."+schema.Stream+"."+schema.Consumer+"."+nobody),
			right{subject: schema.DeadLetterPrefix + "." + nobody, message: true},
			right{subject: schema.FlushPrefix + ".*.*", subscribe: true}, right{subject: subjectServices, subscribe: true})
	case "db-manager":
		return append(publish(subjectStream, "$JS.API.STREAM.MSG.GET."+schema.Stream, create+nobody, next+nobody),
			right{subject: schema.SubjectPrefix + "." + schema.NamespaceUnknown + "." + nobody + ".me", message: true})
	default:
		return publish(subjectStream, create+nobody, next+nobody)
	}
}

// tryRights tries what each role needs; only for the one asked for it matters. It says whether anything can be asked.
func (v *visit) tryRights(ctx context.Context) bool {
	within, cancel := v.within(ctx)
	defer cancel()
	inbox := right{subject: v.nc.NewInbox(), subscribe: true}
	if v.isDenied(within, inbox) {
		v.say("inbox", Fail, "answers cannot be received: subscribing to "+inbox.subject+" is denied", "allow subscribing to it, or give --inbox-prefix the prefix that is allowed")
		v.skip("everything that has to be asked", "answers cannot be received")
		return false
	}
	for _, r := range publish(subjectAccount, subjectStream, subjectDead, subjectDurable, subjectGet, subjectGetDead, subjectServices, subjectVersions) {
		v.isDenied(within, r)
	}
	for _, role := range Roles {
		denied := v.deniedOf(within, role)
		if v.untried != nil {
			v.skip("rights of a "+role, "%s", inWords(v.untried))
			continue
		}
		v.judgeRights(role, denied)
	}
	return true
}

func (v *visit) deniedOf(ctx context.Context, role string) []right {
	return slices.DeleteFunc(rightsOf(role, v.cfg.Namespace), func(r right) bool { return !v.isDenied(ctx, r) })
}

func (v *visit) judgeRights(role string, denied []right) {
	check := "rights of a " + role
	if len(denied) == 0 {
		v.ok(check, "this user has them")
		return
	}
	status := Warn
	var missing []string
	for _, r := range denied {
		missing = append(missing, r.attempt())
		if !r.optional {
			status = Fail
		}
	}
	detail, mend := "denied: "+strings.Join(missing, ", "), "allow it in this user's permissions: docs/operating.md has what a "+role+" needs"
	if role != v.cfg.Role {
		status, mend = Note, ""
	}
	v.say(check, status, detail, mend)
}

// isDenied tries a right; untried says why it could not. A violation comes before the answer to the ping that flushes.
func (v *visit) isDenied(ctx context.Context, r right) bool {
	attempt := r.attempt()
	if denied, tried := v.denied[attempt]; tried {
		return denied
	}
	if err := v.try(ctx, r); err != nil {
		v.untried = err
		return false
	}
	last := v.nc.LastError()
	v.denied[attempt] = last != nil && strings.Contains(last.Error(), attempt)
	return v.denied[attempt]
}

func (v *visit) try(ctx context.Context, r right) error {
	if !r.subscribe {
		if err := v.nc.PublishMsg(harmless(r, v.nc.NewInbox())); err != nil {
			return err
		}
		return v.nc.FlushWithContext(ctx)
	}
	sub, err := v.nc.SubscribeSync(r.subject)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	return v.nc.FlushWithContext(ctx)
}

// attempt is what a server calls it when it refuses.
func (r right) attempt() string {
	if r.subscribe {
		return `Subscription to "` + r.subject + `"`
	}
	return `Publish to "` + r.subject + `"`
}

// harmless is a message that nobody acts on. Nobody waits at the reply subject; but servers expect one.
func harmless(r right, reply string) *nats.Msg {
	msg := nats.NewMsg(r.subject)
	msg.Reply = reply
	if !r.message {
		msg.Data = []byte(`{"` + nobody)
		return msg
	}
	msg.Header.Set(jetstream.ExpectedStreamHeader, nobody)
	return msg
}

// mayAsk says whether this user may publish to the subjects; otherwise the check is skipped.
func (v *visit) mayAsk(check string, subjects ...string) bool {
	i := slices.IndexFunc(subjects, func(subject string) bool { return v.denied[right{subject: subject}.attempt()] })
	if i >= 0 {
		v.skip(check, "this user must not publish to %s", subjects[i])
	}
	return i < 0
}
