package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// withDeadLetters starts a consumer and gives it, in this order, what does not decode, what is another namespace's, and what
// is on no trial's subject.
func withDeadLetters(t *testing.T) (url string) {
	t.Helper()
	ns, js := withStreams(t)
	consume(t, nil, "--server", ns.URL(), "--db", "sqlite:"+filepath.Join(t.TempDir(), "katib.db"))
	put(t, js, "katib.metrics.default.t.me", good)
	died(t, js, 0)
	put(t, js, "katib.metrics.default.t.me", "no JSON\x1b[31m")
	died(t, js, 1)
	put(t, js, "katib.metrics.other.t.me", good)
	died(t, js, 2)
	put(t, js, "katib.metrics.A.t.me", good)
	died(t, js, 3)
	return ns.URL()
}

// died waits until everything is settled, and so many messages died of it.
func died(t *testing.T, js jetstream.JetStream, letters uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d are dead", letters), func() bool {
		stream, err := js.Stream(t.Context(), schema.DeadLetterStream)
		if err != nil {
			return false
		}
		durable, err := js.Consumer(t.Context(), schema.Stream, schema.Consumer)
		return err == nil && stream.CachedInfo().State.Msgs == letters && durable.CachedInfo().NumPending == 0 && durable.CachedInfo().NumAckPending == 0
	})
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	url := withDeadLetters(t)
	letters := func(args ...string) result {
		t.Helper()
		return katibStream(t, append([]string{"deadletters", args[0], "--server", url}, args[1:]...)...)
	}
	says := func(got result, status int, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got.status != status || !strings.Contains(got.stdout+got.stderr, text) {
				t.Errorf("want %q and status %d, got %v", text, status, got)
			}
		}
	}
	says(letters("ls"), statusOK, "NUMBER  DIED", "default    t", "other      t", "katib.metrics.A.t.me", "decode     12 B")
	says(letters("ls", "--stage", "namespace", "-n", "1"), statusOK, "is bound to another namespace")
	says(letters("ls", "--trial", "none"), statusOK, "no dead letters\n")
	says(letters("ls", "-n", "1"), statusOK, "2 older ones are not shown")
	says(letters("ls", "--summary"), statusOK, "COUNT  STAGE")
	var line printedLetter
	got := letters("ls", "-o", "json", "--namespace", "other")
	if err := json.Unmarshal([]byte(got.stdout), &line); err != nil || line.Number != 2 || line.Trial != "t" || line.Sequence != 3 {
		t.Errorf("%v: %v", err, got)
	}

	says(letters("show", "1"), statusOK, "decode", "sequence    2 of KATIB_METRICS", "deadletters requeue 1 --body body.json", "00000000  6e 6f 20 4a 53 4f 4e")
	says(letters("show", "2"), statusOK, "add --to-namespace or --to-trial", good)
	if got := letters("show", "2"); strings.Contains(got.stdout, "Nats-") {
		t.Errorf("words of JetStream are shown as the original's: %v", got)
	}
	says(letters("show", "1", "-o", "json"), statusOK, `"body": "no JSON\u001b[31m"`)
	if got := letters("show", "1", "--raw"); got.stdout != "no JSON\x1b[31m" {
		t.Error(got)
	}

	says(letters("requeue", "1"), statusError, "1: it would become a dead letter again: ", "0 of 1 are persisted")
	says(letters("requeue", "3"), statusError, "say with --to-namespace and --to-trial whose it is")
	body := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(body, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	says(letters("requeue", "1", "--body", body), statusOK, "1: persisted, as katib.metrics.default.t.")
	says(letters("requeue", "--namespace", "other", "--to-namespace", "default"), statusOK, "2: persisted, as katib.metrics.default.t.")
	says(letters("requeue", "3", "--to-namespace", "default", "--to-trial", "t", "-o", "json"), statusOK, `"result": "persisted"`)
	says(letters("requeue", "1"), statusError, "there is no such dead letter: 1")
	says(letters("ls"), statusOK, "no dead letters\n")
	says(katibStream(t, "trials", "--server", url), statusOK, "open (3 of 4 ended)")
}

func TestDeadLettersAreRemoved(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	for n := range 200 {
		put(t, js, fmt.Sprintf("katib.deadletters.default.t%d.me", n%2), "body")
	}
	remove := func(args ...string) result {
		t.Helper()
		return katibStream(t, append([]string{"deadletters", "rm", "--server", ns.URL()}, args...)...)
	}
	failsWith(t, remove("7"), statusUsage, `say --yes: there is no terminal to ask "remove 1 dead letter for good?" on`)
	failsWith(t, remove("7", "1000", "--yes"), statusError, "there is no such dead letter: 1000")
	failsWith(t, remove(), statusUsage, "which? give numbers")
	failsWith(t, remove("7", "--all"), statusUsage, "nothing left to filter")
	failsWith(t, remove("x"), statusUsage, `"x" is no dead letter's number`)
	for _, tt := range []struct{ args, says string }{
		{"7 8 --yes", "removed 2 dead letters\n"},
		{"--trial t1 --yes", "removed 99 dead letters\n"},
		{"--trial t1", "removed 0 dead letters\n"},
		{"--all --yes -o json", "{\n  \"removed\": 99\n}\n"},
	} {
		if got := remove(strings.Fields(tt.args)...); got.status != statusOK || got.stdout != tt.says {
			t.Errorf("rm %s: want %q, got %v", tt.args, tt.says, got)
		}
	}
}

func TestDeadLettersSayWhyTheyCannot(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	letter := nats.NewMsg("katib.deadletters.default.t.me")
	letter.Data = []byte(good)
	for name, value := range map[string]string{
		schema.HeaderDeadLetterOf: "epoch:1", schema.HeaderSubject: "katib.metrics.default.t.me", schema.HeaderTime: "2026-11-25T12:00:00Z",
	} {
		letter.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	put(t, js, "katib.deadletters.default.t.me", "a stranger's")
	urlOf := withUsers(t, map[string]*server.Permissions{"writer": {Publish: &server.SubjectPermission{Allow: []string{"katib.metrics.>"}}}})
	for args, says := range map[string]string{
		"1 --timeout 1s": "1: it is stored, and not persisted yet: no consumer answers",
		"2":              "2: no consumer stored it, and its original cannot be told",
	} {
		got := katibStream(t, append([]string{"deadletters", "requeue", "--server", ns.URL()}, strings.Fields(args)...)...)
		if got.status != statusError || !strings.Contains(got.stderr, says) {
			t.Errorf("want %q, got %v", says, got)
		}
	}
	for name, tt := range map[string]struct {
		args   string
		status int
		says   string
	}{
		"no stream":     {"ls --server " + testserver.NATS(t).URL(), statusError, "has no stream KATIB_DEADLETTERS"},
		"nobody":        {"ls --server " + freeAddress(t), statusError, "cannot reach NATS"},
		"no permission": {"ls --timeout 2s --server " + urlOf("writer"), statusError, "does not let this user"},
		"stage":         {"ls --stage decoding", statusUsage, `--stage is "decoding", none of decode, namespace, persist and quarantine`},
		"trial":         {"ls --trial A", statusUsage, "trial"},
		"since":         {"ls --since -1h", statusUsage, "--since and --until"},
		"lines":         {"ls -n -1", statusUsage, "--lines is -1"},
		"two":           {"show 1 2", statusUsage, "it takes the number of one dead letter"},
		"two bodies":    {"requeue 1 2 --body x", statusUsage, "--body mends one dead letter"},
		"no body":       {"requeue 1 --body none --server " + ns.URL(), statusError, "read the body: open none"},
		"no wait":       {"requeue 1 --wait 0s", statusUsage, "--wait is 0s"},
		"a command":     {"remove", statusUsage, `there is no command "remove"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStream(t, append([]string{"deadletters"}, strings.Fields(tt.args)...)...), tt.status, tt.says)
		})
	}
}
