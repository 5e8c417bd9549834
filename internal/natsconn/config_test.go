package natsconn

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// saveContexts puts contexts where the nats CLI would, and selects one of them, "" for none.
func saveContexts(t *testing.T, selected string, contexts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"context.txt": selected}
	for name, text := range contexts {
		files[filepath.Join("context", name+".json")] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "nats", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhereAndAsWhom(t *testing.T) {
	contexts := map[string]string{
		"prod":   `{"url":"nats://prod:4222, nats://prod2:4222","user":"u","password":"p","inbox_prefix":"_MINE"}`,
		"empty":  `{}`,
		"broken": `{`,
		"noURL":  `{"url":"http://u:secret@x"}`,
	}
	tests := map[string]struct {
		cfg      Config
		selected string
		servers  []string
		user     string
		err      string
	}{
		"nothing at all":                   {servers: []string{"nats://127.0.0.1:4222"}},
		"servers":                          {cfg: Config{Servers: "a, tls://b:1 ,,nats://c"}, servers: []string{"nats://a", "tls://b:1", "nats://c"}},
		"the selected context":             {selected: "prod", servers: []string{"nats://prod:4222", "nats://prod2:4222"}, user: "u:p"},
		"a context":                        {cfg: Config{Context: "prod"}, servers: []string{"nats://prod:4222", "nats://prod2:4222"}, user: "u:p"},
		"a context beats the selected":     {cfg: Config{Context: "empty"}, selected: "prod", servers: []string{"nats://127.0.0.1:4222"}},
		"servers beat the selected":        {cfg: Config{Servers: "a"}, selected: "prod", servers: []string{"nats://a"}},
		"servers with a context":           {cfg: Config{Servers: "a", Context: "prod"}, servers: []string{"nats://a"}, user: "u:p"},
		"a user over the context's":        {cfg: Config{Context: "prod", User: "me", Password: "mine"}, servers: []string{"nats://prod:4222", "nats://prod2:4222"}, user: "me:mine"},
		"a context that is not there":      {cfg: Config{Context: "none"}, err: `read the nats CLI's context "none": unknown context`},
		"a broken context":                 {cfg: Config{Context: "broken"}, err: `read the nats CLI's context "broken"`},
		"a broken selected context":        {selected: "broken", err: "nats context select"},
		"servers beside a broken selected": {cfg: Config{Servers: "a"}, selected: "broken", servers: []string{"nats://a"}},
		"a context with another URL":       {cfg: Config{Context: "noURL"}, err: "http://***@x is no NATS URL"},
		"no URL":                           {cfg: Config{Servers: "nats://u:secret@"}, err: "nats://***@ is no NATS URL"},
		"a broken port":                    {cfg: Config{Servers: "nats://u:secret@h:x"}, err: "nats://***@h:x is no NATS URL"},
		"another scheme":                   {cfg: Config{Servers: "https://h"}, err: "https://h is no NATS URL"},
		"no authority file":                {cfg: Config{Servers: "a", TLSCA: "/nowhere.pem"}, err: "/nowhere.pem"},
		"a certificate without its key":    {cfg: Config{Servers: "a", TLSCert: "/nowhere.pem"}, err: "set up the connection to NATS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			saveContexts(t, tt.selected, contexts)
			options, err := tt.cfg.options()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v; want %q", err, tt.err)
				}
				if err != nil && strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells the password: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(options.Servers, tt.servers) {
				t.Errorf("servers %q, want %q", options.Servers, tt.servers)
			}
			if user := strings.Trim(options.User+":"+options.Password, ":"); user != tt.user {
				t.Errorf("user %q, want %q", user, tt.user)
			}
		})
	}
}

// TestEach holds that the servers of the selected context keep its credentials when they are tried one by one.
func TestEach(t *testing.T) {
	saveContexts(t, "prod", map[string]string{"prod": `{"url":"nats://prod:4222,nats://prod2:4222","user":"u","password":"p"}`})
	each, err := Config{}.Each()
	if err != nil || len(each) != 2 {
		t.Fatalf("%d servers, %v", len(each), err)
	}
	for i, want := range []string{"nats://prod:4222", "nats://prod2:4222"} {
		options, err := each[i].options()
		if err != nil || !slices.Equal(options.Servers, []string{want}) || options.User != "u" || options.Password != "p" {
			t.Errorf("servers %q, user %q, %v", options.Servers, options.User, err)
		}
	}
	if _, err := (Config{Context: "none"}).Each(); err == nil {
		t.Error("a context that is not there is taken")
	}
}

func TestNoHome(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", t.TempDir())
	if options, err := (Config{}).options(); err != nil || options.Servers[0] != "nats://127.0.0.1:4222" {
		t.Errorf("%q, %v", options.Servers, err)
	}
}

func TestRedact(t *testing.T) {
	tests := map[string][2]string{
		"nothing to hide":         {"nats://a:4222,b", "nats://a:4222,b"},
		"a password":              {"nats://u:p@a:4222", "nats://***@a:4222"},
		"a token":                 {"nats://t0ken@a", "nats://***@a"},
		"several":                 {"nats://u:p@a,tls://u:p@b", "nats://***@a,tls://***@b"},
		"no scheme":               {"u:p@a", "***@a"},
		"an @ in the password":    {"nats://u:p@ss@a", "nats://***@a"},
		"a slash in the password": {"nats://u:p/s@a", "nats://***@a"},
		"empty":                   {"", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Redact(tt[0]); got != tt[1] {
				t.Errorf("got %q, want %q", got, tt[1])
			}
		})
	}
}
