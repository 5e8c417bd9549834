package katibdb

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
)

// Config says which database to open. Make one with ParseURL or ConfigFromEnv.
type Config struct {
	// MaxConns is how many transactions run at the same time; further calls of Persist wait. Default 16. SQLite has one
	// writer whatever it says.
	MaxConns int
	// SkipKatibTable leaves Katib's own table to Katib: Migrate then demands that it exists.
	SkipKatibTable bool
	// Logger gets one line per event that matters. Nil means silent.
	Logger *slog.Logger

	kind kind
	url  *url.URL // of MySQL and PostgreSQL
	path string   // of SQLite
	// anyServer opens what takes no writes, too, to look at it.
	anyServer bool
}

type kind string

const (
	mysqlKind    kind = "mysql"
	postgresKind kind = "postgres"
	sqliteKind   kind = "sqlite"
)

// ParseURL reads mysql://user:password@host:3306/database, postgres://user:password@host:5432/database?sslmode=disable
// or sqlite:PATH. Query parameters go to the driver. Errors never repeat the password.
func ParseURL(text string) (Config, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return Config{}, fmt.Errorf("the database URL has no scheme; write mysql://…, postgres://… or sqlite:PATH")
	}
	if scheme == "sqlite" {
		path := strings.TrimPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "?#") {
			return Config{}, fmt.Errorf("sqlite:PATH needs the path of a file, without '?' and '#'")
		}
		return Config{kind: sqliteKind, path: path}, nil
	}
	u, err := url.Parse(text)
	// A '#' or '/' in a password ends what url.Parse takes for the host, and String would repeat the rest.
	if err != nil || u.Fragment != "" || (u.User == nil && strings.Contains(u.Path, "@")) {
		return Config{}, fmt.Errorf("the database URL is not valid; characters like '@', '/', '#' and '%%' in a password are written %%40, %%2F, %%23 and %%25")
	}
	cfg := Config{url: u}
	switch scheme {
	case "mysql", "mariadb":
		cfg.kind = mysqlKind
	case "postgres", "postgresql":
		cfg.kind = postgresKind
	default:
		return Config{}, fmt.Errorf("unknown database %q; write mysql://…, postgres://… or sqlite:PATH", scheme)
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") == "" {
		return Config{}, fmt.Errorf("the database URL lacks a host or the database's name; write %s://USER:PASSWORD@HOST/DATABASE", scheme)
	}
	return cfg, nil
}

// ConfigFromEnv reads the variables of Katib's own db-manager: DB_NAME (mysql or postgres), DB_USER, DB_PASSWORD,
// KATIB_MYSQL_DB_HOST, _PORT and _DATABASE, KATIB_POSTGRESQL_DB_HOST, _PORT and _DATABASE, KATIB_POSTGRESQL_SSL_MODE and
// SKIP_DB_INITIALIZATION, with Katib's defaults.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	get := func(name, standard string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return standard
	}
	var cfg Config
	switch name := getenv("DB_NAME"); name {
	case "mysql":
		cfg = Config{kind: mysqlKind, url: katibURL("mysql", get("DB_USER", "root"), getenv("DB_PASSWORD"),
			get("KATIB_MYSQL_DB_HOST", "katib-mysql"), get("KATIB_MYSQL_DB_PORT", "3306"), get("KATIB_MYSQL_DB_DATABASE", "katib"))}
	case "postgres":
		cfg = Config{kind: postgresKind, url: katibURL("postgres", get("DB_USER", "katib"), getenv("DB_PASSWORD"),
			get("KATIB_POSTGRESQL_DB_HOST", "katib-postgres"), get("KATIB_POSTGRESQL_DB_PORT", "5432"), get("KATIB_POSTGRESQL_DB_DATABASE", "katib"))}
		cfg.url.RawQuery = url.Values{"sslmode": {get("KATIB_POSTGRESQL_SSL_MODE", "disable")}}.Encode()
	case "":
		return Config{}, fmt.Errorf("no database is given; set DB_NAME to mysql or postgres as for Katib's db-manager, or give a database URL")
	default:
		return Config{}, fmt.Errorf("DB_NAME is %q; Katib knows mysql and postgres", name)
	}
	cfg.SkipKatibTable = get("SKIP_DB_INITIALIZATION", "false") != "false" // as Katib reads it
	return cfg, nil
}

func katibURL(scheme, user, password, host, port, database string) *url.URL {
	return &url.URL{Scheme: scheme, User: url.UserPassword(user, password), Host: net.JoinHostPort(host, port), Path: "/" + database}
}

// String names the database without its password.
func (c Config) String() string {
	if c.kind == sqliteKind {
		return "sqlite:" + c.path
	}
	if c.url == nil {
		return "no database"
	}
	u := *c.url
	query := u.Query()
	for _, name := range []string{"password", "sslpassword"} { // which PostgreSQL takes as parameters, too
		if query.Has(name) {
			query.Set(name, "xxxxx")
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}

// Missing returns an error when the database is a file that is not there: opening it would make it.
func (c Config) Missing() error {
	if c.kind != sqliteKind {
		return nil
	}
	if _, err := os.Stat(c.path); err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	if c.kind == sqliteKind {
		c.MaxConns = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
