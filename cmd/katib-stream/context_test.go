package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSavedContexts lets contexts that the nats CLI saved choose the server. Each runs in a process of its own, because
// the library that reads them looks at the real environment.
func TestSavedContexts(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, nil)
	config := t.TempDir()
	for name, text := range map[string]string{
		"context.txt":         "here",
		"context/here.json":   `{"description":"the right one","url":"` + urlOf("all") + `"}`,
		"context/away.json":   `{"url":"nats://me:` + secret + `@127.0.0.1:1"}`,
		"context/broken.json": `{`,
	} {
		path := filepath.Join(config, "nats", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		env    []string
		args   []string
		status int
		says   string
	}{
		"the selected one":          {},
		"by flag":                   {args: []string{"--context", "away"}, status: statusError, says: "cannot reach NATS at nats://***@127.0.0.1:1"},
		"by our variable":           {env: []string{"KATIB_STREAM_CONTEXT=away"}, status: statusError, says: "cannot reach NATS at nats://***@127.0.0.1:1"},
		"by the nats CLI's":         {env: []string{"NATS_CONTEXT=away"}, status: statusError, says: "cannot reach NATS at nats://***@127.0.0.1:1"},
		"by flag over a variable":   {env: []string{"NATS_CONTEXT=away", "NATS_URL=nats://127.0.0.1:1"}, args: []string{"--context", "here"}},
		"a server instead":          {args: []string{"--server", "nats://127.0.0.1:1"}, status: statusError, says: "cannot reach NATS at nats://127.0.0.1:1"},
		"a server with its user":    {args: []string{"--context", "away", "--server", urlOf("all")}},
		"a broken one":              {args: []string{"--context", "broken"}, status: statusUsage, says: `read the nats CLI's context "broken"`},
		"one that is not there":     {args: []string{"--context", "none"}, status: statusUsage, says: `read the nats CLI's context "none"`},
		"a variable against a flag": {env: []string{"NATS_CONTEXT=broken"}, args: []string{"--server", urlOf("all")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startProcess(t, append(tt.env, "XDG_CONFIG_HOME="+config), append([]string{"trials"}, tt.args...)...)
			got := result{r.wait(), r.stdout.String(), r.stderr.String()}
			if tt.says != "" {
				failsWith(t, got, tt.status, tt.says)
			} else if got.status != statusOK || got.stdout != "no trials yet\n" {
				t.Errorf("%v", got)
			}
		})
	}
}
