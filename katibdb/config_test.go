package katibdb

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestConfigFromEnv(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // with the password in it
		skip bool
		err  string
	}{
		{"mysql defaults", map[string]string{"DB_NAME": "mysql"}, "mysql://root:@katib-mysql:3306/katib", false, ""},
		{"postgres defaults", map[string]string{"DB_NAME": "postgres"}, "postgres://katib:@katib-postgres:5432/katib?sslmode=disable", false, ""},
		{"mysql", map[string]string{
			"DB_NAME": "mysql", "DB_USER": "u", "DB_PASSWORD": "p@ss/w%rd", "KATIB_MYSQL_DB_HOST": "h", "KATIB_MYSQL_DB_PORT": "1",
			"KATIB_MYSQL_DB_DATABASE": "d", "SKIP_DB_INITIALIZATION": "true",
		}, "mysql://u:p%40ss%2Fw%25rd@h:1/d", true, ""},
		{"postgres", map[string]string{
			"DB_NAME": "postgres", "DB_USER": "u", "DB_PASSWORD": "p", "KATIB_POSTGRESQL_DB_HOST": "::1", "KATIB_POSTGRESQL_DB_PORT": "1",
			"KATIB_POSTGRESQL_DB_DATABASE": "d", "KATIB_POSTGRESQL_SSL_MODE": "require", "SKIP_DB_INITIALIZATION": "false",
		}, "postgres://u:p@[::1]:1/d?sslmode=require", false, ""},
		{"none", nil, "", false, "DB_NAME"},
		{"unknown", map[string]string{"DB_NAME": "oracle"}, "", false, `"oracle"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := ConfigFromEnv(func(name string) string { return c.env[name] })
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one about %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.url.String(); got != c.want || cfg.SkipKatibTable != c.skip {
				t.Errorf("%s, skip %v, want %s, skip %v", got, cfg.SkipKatibTable, c.want, c.skip)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		name, url, want, err string
	}{
		{"mysql", "mysql://u:secret@h:3306/katib", "mysql://u:xxxxx@h:3306/katib", ""},
		{"mariadb", "mariadb://u@h/katib", "mariadb://u@h/katib", ""},
		{"postgres", "postgresql://u:secret@h/katib?sslmode=disable", "postgresql://u:xxxxx@h/katib?sslmode=disable", ""},
		{"password as a parameter", "postgres://u@h/katib?password=secret", "postgres://u@h/katib?password=xxxxx", ""},
		{"sqlite", "sqlite:data/katib.db", "sqlite:data/katib.db", ""},
		{"sqlite, absolute", "sqlite:///var/katib.db", "sqlite:/var/katib.db", ""},
		{"sqlite without a path", "sqlite:", "", "PATH"},
		{"no scheme", "katib", "", "scheme"},
		{"unknown scheme", "oracle://h/katib", "", `"oracle"`},
		{"no database", "mysql://u:secret@h:3306", "", "lacks a host"},
		{"no host", "postgres:///katib?password=secret", "", "lacks a host"},
		{"password that is not escaped", "mysql://u:secret%zz@h/katib", "", "not valid"},
		{"port that is no number", "mysql://u:secret/@h:port/katib", "", "not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := ParseURL(c.url)
			if err == nil {
				if got := cfg.String(); got != c.want || c.err != "" {
					t.Errorf("%s, want %s, error %q", got, c.want, c.err)
				}
				return
			}
			if c.err == "" || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one about %q without the password", err, c.err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct{ name, url string }{
		{"unknown parameter value", "mysql://u:secret@h/katib?parseTime=perhaps"},
		{"unknown sslmode", "postgres://u:secret@h/katib?sslmode=perhaps"},
		{"unknown sslmode, password as a parameter", "postgres://u@h/katib?sslmode=perhaps&password=secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := ParseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one without the password", err)
			}
		})
	}
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("no database is opened")
	}
	if _, err := Open(t.Context(), Config{kind: mysqlKind, MaxConns: -1}); err == nil {
		t.Error("-1 connections are opened")
	}
}

func TestUnreachableDatabase(t *testing.T) {
	for _, url := range []string{
		"mysql://u:secret@127.0.0.1:1/katib",
		"postgres://u:secret@127.0.0.1:1/katib?sslmode=disable",
		"postgres://u@127.0.0.1:1/katib?sslmode=disable&password=secret",
		"sqlite:/no/such/folder/katib.db",
	} {
		t.Run(url, func(t *testing.T) {
			cfg, err := ParseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, persistErr := db.Persist(ctx, []Message{msg(t, "n/t/p:1@1")})
			for call, err := range map[string]error{"ping": db.Ping(ctx), "migrate": db.Migrate(ctx), "persist": persistErr} {
				if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %q, want one line without the password", call, err)
				}
			}
		})
	}
}
