package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// service is a program that is started again whenever it ends, as Kubernetes would, until it is stopped.
type service struct {
	name      string
	argv, env []string
	dir       string

	gate sync.Mutex // held while it is to stay down
	done chan struct{}

	mu       sync.Mutex
	process  *testserver.Process
	stopping bool
	expected bool // its next end is our doing
	frail    bool // its ends are a fault's doing, until it is told otherwise
	starts   int
	deaths   []string // that were nobody's doing
}

func newService(root, name string, argv []string, env ...string) (*service, error) {
	s := &service{name: name, argv: argv, env: env, dir: filepath.Join(root, name), done: make(chan struct{})}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

func (s *service) run() {
	defer close(s.done)
	for s.start() {
		p := s.current()
		<-p.Ended()
		s.mu.Lock()
		if !s.expected && !s.frail && !s.stopping && !p.State().Success() {
			s.deaths = append(s.deaths, fmt.Sprintf("%s ended by itself (%v): %.2000s", s.name, p.State(), p.Output()))
		}
		s.expected = false
		s.mu.Unlock()
		<-time.After(200 * time.Millisecond) // as a kubelet, which does not start it again at once
	}
}

// start starts it, unless it is to end.
func (s *service) start() bool {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	p, err := testserver.StartProcess(s.argv, s.env, s.dir)
	if err != nil {
		s.deaths = append(s.deaths, err.Error())
		return false
	}
	s.process = p
	s.starts++
	return true
}

func (s *service) current() *testserver.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// end ends the process by kill or terminate; it is started again.
func (s *service) end(how func(*testserver.Process) error) error {
	s.mu.Lock()
	p := s.process
	s.expected = true
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s does not run", s.name)
	}
	return how(p)
}

func (s *service) kill() error { return s.end((*testserver.Process).Kill) }

// restart asks it to end, and waits until it has.
func (s *service) restart() error {
	p := s.current()
	if err := s.end((*testserver.Process).Terminate); err != nil {
		return err
	}
	return ended(p, s.name)
}

func ended(p *testserver.Process, name string) error {
	select {
	case <-p.Ended():
		return nil
	case <-time.After(45 * time.Second):
		_ = p.Kill()
		return fmt.Errorf("%s did not end within 45 s of SIGTERM", name)
	}
}

// release replaces the program by another, which is frail or not. A frail one may end by itself meanwhile.
func (s *service) release(program string, frail bool) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	s.argv = append([]string{program}, s.argv[1:]...)
	s.frail = s.frail || frail
	s.mu.Unlock()
	err := s.restart()
	s.mu.Lock()
	s.frail = frail
	s.mu.Unlock()
	return err
}

// stop ends it for good.
func (s *service) stop() error {
	s.mu.Lock()
	s.stopping = true
	p := s.process
	s.mu.Unlock()
	var err error
	if p != nil {
		if err = p.Terminate(); err == nil {
			err = ended(p, s.name)
		}
	}
	<-s.done
	return err
}

// counted is how often it was started, and what killed it that was nobody's doing.
func (s *service) counted() (starts int, deaths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts, s.deaths
}
