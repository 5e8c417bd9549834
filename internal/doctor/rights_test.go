package doctor

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// documented are the permissions of docs/operating.md.
func documented() map[string]*server.Permissions {
	permissions := func(publish, subscribe []string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: append(subscribe, "_INBOX.>")}}
	}
	return map[string]*server.Permissions{
		"producer": permissions([]string{"katib.metrics.default.>", "katib.flush.default.>"}, nil),
		"consumer": permissions([]string{"$JS.API.>", "$JS.ACK.KATIB_METRICS.>", "katib.deadletters.>"}, []string{"katib.flush.*.*", "$SRV.>"}),
		"db-manager": permissions([]string{
			"katib.metrics._.>", "$JS.API.STREAM.INFO.KATIB_METRICS", "$JS.API.STREAM.MSG.GET.KATIB_METRICS", "$JS.API.CONSUMER.CREATE.KATIB_METRICS.>",
			"$JS.API.CONSUMER.DELETE.KATIB_METRICS.>", "$JS.API.CONSUMER.MSG.NEXT.KATIB_METRICS.>",
		}, nil),
		"reader":    permissions([]string{"$JS.API.STREAM.INFO.KATIB_METRICS", "$JS.API.CONSUMER.*.KATIB_METRICS.>", "$JS.API.CONSUMER.MSG.NEXT.KATIB_METRICS.>"}, nil),
		"unflushed": permissions([]string{"katib.metrics.default.>"}, nil),
		"silent":    permissions([]string{"$JS.API.>", "$JS.ACK.KATIB_METRICS.>", "katib.deadletters.>"}, nil),
		"mute":      {Publish: &server.SubjectPermission{Deny: []string{">"}}},
		"deaf":      {Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}},
	}
}

// TestRights runs with the permissions that are documented for each role, and holds that trying them changes nothing.
func TestRights(t *testing.T) {
	users := []*server.User{{Username: "all", Password: "p"}}
	for name, permissions := range documented() {
		users = append(users, &server.User{Username: name, Password: "p", Permissions: permissions})
	}
	host := strings.TrimPrefix(testserver.NATSWith(t, testserver.NATSOptions{Users: users}).URL(), "nats://")
	js := connect(t, "nats://all:p@"+host)
	made(t, js)
	if _, err := js.Publish(t.Context(), "katib.metrics.default.t.me", []byte(`{"metrics":{"loss":1}}`)); err != nil {
		t.Fatal(err)
	}
	before := state(t, js)
	for _, user := range append([]string{"all"}, Roles...) {
		for _, role := range Roles {
			cfg := configFor("nats://" + user + ":p@" + host)
			cfg.Role = role
			report := run(t, cfg)
			if has := user == "all" || user == role || role == "reader" && (user == "db-manager" || user == "consumer"); has {
				wants(t, report, "rights of a "+role, OK, "has them")
			} else {
				wants(t, report, "rights of a "+role, Fail, "denied: Publish to \"")
			}
			if strings.Contains(lines(report), "no answer in time") {
				t.Errorf("%s waited for what is denied\n%s", user, lines(report))
			}
		}
	}
	if after := state(t, js); after != before {
		t.Errorf("trying permissions changed %s to %s", before, after)
	}
	cfg := configFor("nats://mute:p@" + host)
	wants(t, run(t, cfg), schema.Stream, Skip, "this user must not publish to $JS.API.STREAM.INFO.KATIB_METRICS")
	cfg.NATS.Servers = "nats://deaf:p@" + host
	wants(t, run(t, cfg), "inbox", Fail, "answers cannot be received")
	cfg.NATS.Servers, cfg.Role, cfg.Namespace = "nats://producer:p@"+host, "producer", "other"
	wants(t, run(t, cfg), "rights of a producer", Fail, `denied: Publish to "katib.metrics.other.katib-doctor.me", Publish to "katib.flush.other.katib-doctor"`)
	cfg.NATS.Servers, cfg.Namespace = "nats://unflushed:p@"+host, "default"
	wants(t, run(t, cfg), "rights of a producer", Warn, `denied: Publish to "katib.flush.default.katib-doctor"`)
	cfg.NATS.Servers, cfg.Role = "nats://silent:p@"+host, "consumer"
	wants(t, run(t, cfg), "rights of a consumer", Fail, `denied: Subscription to "katib.flush.*.*", Subscription to "$SRV.PING.katib-flush"`)
}

// state is what trying permissions could change.
func state(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	text := ""
	for _, name := range []string{schema.Stream, schema.DeadLetterStream} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info := stream.CachedInfo()
		text += name + " " + count(info.State.Msgs, "message") + " " + count(info.State.LastSeq, "sequence") + " " + count(uint64(info.State.Consumers), "consumer") + "; "
	}
	durable, err := js.Consumer(t.Context(), schema.Stream, schema.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	info := durable.CachedInfo()
	return text + count(info.NumPending, "pending") + " " + count(info.Delivered.Consumer, "delivery") + " " + count(uint64(info.NumWaiting), "request")
}
