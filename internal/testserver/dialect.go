package testserver

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver pgx
)

// account is the user, and its password, that tests connect as: a superuser of its server.
const account = "katib"

// dialect is how clients reach a kind of database server, and how a database is made and dropped there.
type dialect struct {
	home   string // a database that every server of the kind has
	open   func(addr, database string) (*sql.DB, error)
	url    func(addr, database string) string
	create string // both with one %s for the database's name
	drop   string
}

var mysqlDialect = dialect{
	home:   "mysql",
	open:   openMySQL,
	url:    mysqlURL,
	create: "CREATE DATABASE %s CHARACTER SET utf8mb4",
	drop:   "DROP DATABASE IF EXISTS %s",
}

var postgresDialect = dialect{
	home:   "postgres",
	open:   func(addr, database string) (*sql.DB, error) { return sql.Open("pgx", postgresURL(addr, database)) },
	url:    postgresURL,
	create: "CREATE DATABASE %s",
	drop:   "DROP DATABASE IF EXISTS %s WITH (FORCE)",
}

func openMySQL(addr, database string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = account, account, "tcp", addr, database
	cfg.Logger = &mysql.NopLogger{} // the driver would write a line for every try at a server that still starts
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func mysqlURL(addr, database string) string {
	u := url.URL{Scheme: "mysql", User: url.UserPassword(account, account), Host: addr, Path: "/" + database}
	return u.String()
}

func postgresURL(addr, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(account, account), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// exec runs one statement over a connection of its own.
func (d dialect) exec(ctx context.Context, addr, statement string) error {
	db, err := d.open(addr, d.home)
	if err != nil {
		return fmt.Errorf("open the database server at %s: %w", addr, err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%q at %s: %w", statement, addr, err)
	}
	return nil
}
