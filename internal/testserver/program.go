package testserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// envMySQLDir names a folder with the program mysqld, where the real MySQL is not in the PATH.
const envMySQLDir = "KATIB_STREAM_TEST_MYSQL_DIR"

// program is a kind of database server that is installed on this machine.
type program struct {
	name    string
	version string
	users   []string // system users made for it
	dialect dialect
	quit    syscall.Signal // asks it to end in good order
	// install is the command that lays out an empty data folder.
	install func(dir string) []string
	// serve is the command of the server, which is to listen on the port on loopback only.
	serve func(dir string, port int) []string
}

// accountSQL makes the account of tests; MySQL and MariaDB run it at every start.
const accountSQL = `CREATE USER IF NOT EXISTS '` + account + `'@'%' IDENTIFIED BY '` + account + `';
GRANT ALL ON *.* TO '` + account + `'@'%' WITH GRANT OPTION;
`

// findMariaDB returns nil when MariaDB is not installed.
func findMariaDB() *program {
	server, install := look("mariadbd"), look("mariadb-install-db")
	if server == "" || install == "" {
		return nil
	}
	return &program{
		name: "mariadb", version: version(server), users: []string{"mysql"}, dialect: mysqlDialect, quit: syscall.SIGTERM,
		install: func(dir string) []string {
			return []string{
				install, "--no-defaults", "--datadir=" + filepath.Join(dir, "data"),
				"--auth-root-authentication-method=normal", "--skip-test-db",
			}
		},
		serve: func(dir string, port int) []string { return mysqlCommand(server, dir, port) },
	}
}

// findMySQL returns nil when the real MySQL is not installed; many systems call MariaDB mysqld, too.
func findMySQL() *program {
	server := look("mysqld")
	if dir := os.Getenv(envMySQLDir); dir != "" {
		server = filepath.Join(dir, "mysqld")
	}
	if server == "" || strings.Contains(version(server), "MariaDB") {
		return nil
	}
	return &program{
		name: "mysql", version: version(server), users: []string{"mysql"}, dialect: mysqlDialect, quit: syscall.SIGTERM,
		install: func(dir string) []string {
			return []string{server, "--no-defaults", "--initialize-insecure", "--secure-file-priv=NULL", "--datadir=" + filepath.Join(dir, "data")}
		},
		serve: func(dir string, port int) []string {
			return append(mysqlCommand(server, dir, port), "--secure-file-priv=NULL", "--mysqlx=OFF")
		},
	}
}

func mysqlCommand(server, dir string, port int) []string {
	return []string{
		server, "--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--init-file=" + filepath.Join(dir, "account.sql"),
		"--bind-address=" + loopback, "--port=" + strconv.Itoa(port), "--socket=" + filepath.Join(dir, "socket"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--skip-name-resolve", "--max-connections=500",
	}
}

// findPostgres returns nil when PostgreSQL's server is not installed.
func findPostgres() *program {
	server := lookPostgres()
	if server == "" {
		return nil
	}
	return &program{
		name: "postgres", version: version(server), users: []string{"postgres"}, dialect: postgresDialect,
		quit: syscall.SIGINT, // SIGTERM would wait for the clients to leave
		install: func(dir string) []string {
			return []string{
				filepath.Join(filepath.Dir(server), "initdb"), "--pgdata=" + filepath.Join(dir, "data"), "--no-sync",
				"--username=" + account, "--pwfile=" + filepath.Join(dir, "password"), "--auth=scram-sha-256",
				"--encoding=UTF8", "--locale=C",
			}
		},
		serve: func(dir string, port int) []string {
			return []string{
				server, "-D", filepath.Join(dir, "data"), "-h", loopback, "-p", strconv.Itoa(port),
				"-c", "unix_socket_directories=", "-c", "max_connections=300",
			}
		},
	}
}

// lookPostgres finds the newest server that has initdb beside it. Debian keeps both out of the PATH.
func lookPostgres() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // in order, so that the newest is the last
	if inPath := look("postgres"); inPath != "" {
		if resolved, err := filepath.EvalSymlinks(inPath); err == nil {
			found = append(found, resolved)
		}
	}
	for i := len(found) - 1; i >= 0; i-- {
		if _, err := os.Stat(filepath.Join(filepath.Dir(found[i]), "initdb")); err == nil {
			return found[i]
		}
	}
	return ""
}

// look finds a program, in the folders for administrators, too, which the PATH of others may lack.
func look(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

var versionText = regexp.MustCompile(`(?:Ver|PostgreSQL\)) (\S+)`)

// version asks a server program for its version, such as 10.11.19-MariaDB.
func version(server string) string {
	out, err := exec.Command(server, "--version").CombinedOutput()
	if err != nil {
		return "version unknown: " + err.Error()
	}
	if match := versionText.FindSubmatch(out); match != nil {
		return string(match[1])
	}
	return "version unknown"
}
