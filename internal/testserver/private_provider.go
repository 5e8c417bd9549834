package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// privateProvider runs servers of installed programs.
type privateProvider struct {
	home     *home
	programs []*program
}

// newPrivateProvider looks for the programs. Nothing is optional but that either of MariaDB and MySQL will do.
func newPrivateProvider() (*privateProvider, error) {
	p := &privateProvider{}
	if mariadb := findMariaDB(); mariadb != nil {
		p.programs = append(p.programs, mariadb)
	}
	if mysql := findMySQL(); mysql != nil {
		p.programs = append(p.programs, mysql)
	}
	var missing []string
	if len(p.programs) == 0 {
		missing = append(missing, "MariaDB (mariadbd and mariadb-install-db) or MySQL (mysqld)")
	}
	if postgres := findPostgres(); postgres != nil {
		p.programs = append(p.programs, postgres)
	} else {
		missing = append(missing, "PostgreSQL (postgres and initdb)")
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("tests need the server programs of %s: install them (tools/setup.sh does, or says how), or run a Docker engine that has or gets the images", strings.Join(missing, " and of "))
	}
	if err := checkMySQLDir(); err != nil {
		return nil, err
	}
	home, err := openHome()
	if err != nil {
		return nil, err
	}
	p.home = home
	return p, nil
}

// checkMySQLDir keeps a wrong folder from silently leaving MySQL out.
func checkMySQLDir() error {
	dir := os.Getenv(envMySQLDir)
	if dir == "" {
		return nil
	}
	server := filepath.Join(dir, "mysqld")
	if look(server) == "" {
		return fmt.Errorf("%s is %s, which holds no program mysqld: tools/mysql.sh makes such a folder", envMySQLDir, dir)
	}
	if findMySQL() == nil {
		return errors.New(server + " is MariaDB; " + envMySQLDir + " is for the real MySQL")
	}
	return nil
}

func (p *privateProvider) name() string { return "private" }

func (p *privateProvider) kinds() []kind {
	var kinds []kind
	for _, program := range p.programs {
		kinds = append(kinds, kind{name: program.name, detail: program.version})
	}
	return kinds
}

func (p *privateProvider) start(ctx context.Context, name string, arguments []string) (*databaseServer, error) {
	for _, program := range p.programs {
		if program.name != name {
			continue
		}
		server, err := newPrivateServer(ctx, p.home, program, arguments)
		if err != nil {
			return nil, err
		}
		if err := server.start(ctx); err != nil {
			return nil, errors.Join(err, server.remove(ctx))
		}
		return &databaseServer{instance: server, dialect: program.dialect}, nil
	}
	return nil, fmt.Errorf("no private server of kind %q", name)
}

func (p *privateProvider) close() error { return p.home.close() }
