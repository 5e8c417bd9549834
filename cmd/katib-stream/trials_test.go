package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// report reports one event of a new producer, whose run has then ended.
func report(t testing.TB, url, namespace, trial string) {
	t.Helper()
	if got := katibStream(t, "publish", trial, "loss=1", "--namespace", namespace, "--server", url); got.status != statusOK {
		t.Fatalf("publish: %v", got)
	}
}

func TestTrials(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	report(t, ns.URL(), "a", "ended")
	report(t, ns.URL(), "a", "ended")
	report(t, ns.URL(), "b", "ended")
	report(t, ns.URL(), "a", "half.open")
	put(t, js, "katib.metrics.a.half%2Eopen.me", `{"metrics":{"loss":1}}`)
	put(t, js, "katib.metrics.a.half%2Eopen.me", `{"metrics":{"loss":1}}`)
	put(t, js, "katib.metrics._.open.me", `{"metrics":{"loss":1}}`)
	put(t, js, "katib.metrics.a.Stray.me", `{"metrics":{"loss":1}}`)
	put(t, js, "katib.metrics.stray", `{"metrics":{"loss":1}}`)

	all := []trial{
		{Namespace: "_", Trial: "open", Producers: 1, Messages: 1},
		{Namespace: "a", Trial: "ended", Producers: 2, EndedProducers: 2, Messages: 2, Ended: true},
		{Namespace: "a", Trial: "half.open", Producers: 2, EndedProducers: 1, Messages: 3},
		{Namespace: "b", Trial: "ended", Producers: 1, EndedProducers: 1, Messages: 1, Ended: true},
	}
	tests := map[string]struct {
		namespace string
		want      []trial
		strays    string
		text      string
	}{
		"all":           {"", all, "2 messages are on subjects that are no trial's; they become dead letters", ""},
		"one namespace": {"b", all[3:], "", ""},
		"with strays":   {"a", all[1:3], "1 message is on a subject that is no trial's; it becomes a dead letter", ""},
		"an empty one":  {"nowhere", nil, "", "no trials in namespace nowhere\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"trials", "--server", ns.URL(), "--namespace", tt.namespace}
			text, asJSON := katibStream(t, args...), katibStream(t, append(args, "-o", "json")...)
			var got []trial
			if err := json.Unmarshal([]byte(asJSON.stdout), &got); err != nil || got == nil || asJSON.status != statusOK {
				t.Fatalf("%v in %v", err, asJSON)
			}
			for i := range got {
				if time.Since(got[i].Last) > time.Hour {
					t.Errorf("the last message of %s came %v", got[i].Trial, got[i].Last)
				}
				got[i].Last = time.Time{}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("JSON: got %+v, want %+v", got, tt.want)
			}
			if tt.text != "" && text.stdout != tt.text {
				t.Errorf("text: got %q, want %q", text.stdout, tt.text)
			}
			for _, stderr := range []string{text.stderr, asJSON.stderr} {
				if got := strings.TrimSpace(strings.TrimPrefix(stderr, "katib-stream: trials: ")); got != tt.strays {
					t.Errorf("on standard error: got %q, want %q", got, tt.strays)
				}
			}
		})
	}
}

func TestTrialsTable(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	if got := katibStream(t, "trials", "--server", ns.URL()); got.stdout != "no trials yet\n" || got.status != statusOK {
		t.Errorf("an empty stream: %v", got)
	}
	report(t, ns.URL(), "team", "a-long-name")
	report(t, ns.URL(), "team", "b")
	put(t, js, "katib.metrics.team.b.me", `{"metrics":{"loss":1}}`)
	lines := strings.Split(katibStream(t, "trials", "--server", ns.URL()).stdout, "\n")
	want := []string{
		"NAMESPACE  TRIAL        PRODUCERS  MESSAGES  LAST                  STATE",
		"team       a-long-name  1          1         ....-..-..T..:..:..Z  ended",
		"team       b            2          2         ....-..-..T..:..:..Z  open (1 of 2 ended)",
		"",
	}
	digits := strings.NewReplacer("0", ".", "1", ".", "2", ".", "3", ".", "4", ".", "5", ".", "6", ".", "7", ".", "8", ".", "9", ".")
	for i := range lines {
		if len(lines[i]) > 66 {
			lines[i] = lines[i][:45] + digits.Replace(lines[i][45:66]) + lines[i][66:]
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestReadersSayWhyTheyCannot covers what trials and tail have in common.
func TestReadersSayWhyTheyCannot(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, map[string]*server.Permissions{
		"writer": {Publish: &server.SubjectPermission{Allow: []string{"katib.metrics.>"}}},
	})
	tests := map[string]struct {
		server string
		says   []string
	}{
		"nobody listens":   {"me:" + secret + "@" + freeAddress(t), []string{"cannot reach NATS at nats://***@127.0.0.1:", "nobody answers there"}},
		"a wrong password": {strings.Replace(urlOf("all"), secret, "wrong", 1), []string{"it refuses us"}},
		"no JetStream":     {withoutJetStream(t), []string{"has no JetStream; start it with `nats-server -js`"}},
		"no stream":        {testserver.NATS(t).URL(), []string{"has no stream KATIB_METRICS; `katib-stream up` or `katib-stream consumer` makes it"}},
		"no permission":    {urlOf("writer"), []string{"nats://***@", "does not let this user look at stream KATIB_METRICS"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"trials", "tail t"} {
				args := append(strings.Fields(command), "--server", tt.server, "--timeout", "1s")
				failsWith(t, katibStream(t, args...), statusError, tt.says...)
			}
		})
	}
}

func TestReadersFindTheServer(t *testing.T) {
	t.Parallel()
	ns, _ := withStreams(t)
	tests := map[string]struct {
		env  map[string]string
		args []string
	}{
		"by flag":                  {args: []string{"--server", ns.URL()}},
		"by the short flag":        {args: []string{"-s", strings.TrimPrefix(ns.URL(), "nats://")}},
		"by our variable":          {env: map[string]string{"KATIB_STREAM_SERVERS": ns.URL(), "NATS_URL": "nats://127.0.0.1:1"}},
		"by the nats CLI's":        {env: map[string]string{"NATS_URL": ns.URL()}},
		"by flag over variable":    {env: map[string]string{"NATS_URL": "nats://127.0.0.1:1"}, args: []string{"--server", ns.URL()}},
		"by the second of several": {args: []string{"--server", "nats://127.0.0.1:1," + ns.URL()}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := katibStreamWith(t, tt.env, "", append([]string{"trials"}, tt.args...)...)
			if got.status != statusOK || got.stdout != "no trials yet\n" {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestPasswordFromTheEnvironment proves that a password in the environment is enough, and is never printed.
func TestPasswordFromTheEnvironment(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, nil)
	bare := strings.Replace(urlOf("all"), "all:"+secret+"@", "", 1)
	env := map[string]string{"KATIB_STREAM_USER": "all", "KATIB_STREAM_PASSWORD": secret, "NATS_URL": bare}
	if got := katibStreamWith(t, env, "", "trials"); got.status != statusOK || got.stdout != "no trials yet\n" {
		t.Errorf("%v", got)
	}
	env["KATIB_STREAM_PASSWORD"] = secret + "?"
	failsWith(t, katibStreamWith(t, env, "", "trials"), statusError, "it refuses us")
}
