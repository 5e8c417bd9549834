package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// databaseTimeout is how long a database server may take to come up, recovery after a crash included.
const databaseTimeout = 60 * time.Second

// privateServer is a database server of an installed program, with a data folder and a port of its own.
type privateServer struct {
	program *program
	account *syscall.Credential
	dir     string
	port    int
	extra   []string // further arguments of the server
	process *process // nil before the first start
}

// newPrivateServer lays the data folder out. The server is started by start.
func newPrivateServer(ctx context.Context, h *home, p *program, extra []string) (*privateServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount(p.users...)
	if err != nil {
		return nil, err
	}
	dir, err := h.folder(p.name)
	if err != nil {
		return nil, err
	}
	s := &privateServer{program: p, account: account, dir: dir, port: port, extra: extra}
	if err := s.install(ctx); err != nil {
		return nil, fmt.Errorf("lay out the data folder of a private %s server: %w", p.name, err)
	}
	return s, nil
}

func (s *privateServer) install(ctx context.Context) error {
	for name, text := range map[string]string{"password": account, "account.sql": accountSQL} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if s.account != nil {
		if err := os.Chown(s.dir, int(s.account.Uid), int(s.account.Gid)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	argv := s.program.install(s.dir)
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir = s.dir
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}

func (s *privateServer) address() string { return address(s.port) }

// start starts the server and waits until it answers.
func (s *privateServer) start(ctx context.Context) error {
	argv := slices.Concat(s.program.serve(s.dir, s.port), s.extra)
	started, err := startProcess(argv, nil, s.account, s.dir)
	if err != nil {
		return err
	}
	s.process = started
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := s.program.dialect.exec(ctx, s.address(), "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-started.ended:
			return fmt.Errorf("start %s: it ended at once and wrote:\n%s", s.program.name, started.output())
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w; it wrote:\n%s", s.program.name, err, started.output())
		}
	}
}

// stop ends the server in good order.
func (s *privateServer) stop(ctx context.Context) error {
	if err := s.process.signal(s.program.quit); err != nil {
		return err
	}
	select {
	case <-s.process.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w; it wrote:\n%s", s.program.name, ctx.Err(), s.process.output())
	}
}

func (s *privateServer) kill(context.Context) error  { return s.process.kill() }
func (s *privateServer) pause(context.Context) error { return s.process.pause() }

func (s *privateServer) resume(context.Context) error { return s.process.signalAll(syscall.SIGCONT) }

// remove ends the server, if it runs, and removes its data.
func (s *privateServer) remove(context.Context) error {
	if s.process != nil && s.process.running() {
		if err := s.process.kill(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the data of %s: %w", s.program.name, err)
	}
	return nil
}
