package testserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

const homePrefix = "katib-stream-test-"

// home is the folder of this process's database servers. It is not one of testing's, because those are closed to the
// unprivileged user that the servers run as when the tests run as root. The lock beside it is held as long as the
// process lives: a folder whose lock is free belonged to one that was killed.
type home struct {
	dir  string
	lock *flock.Flock
}

func openHome() (*home, error) {
	if err := removeStale(); err != nil {
		return nil, err
	}
	// The lock comes before the folder, so that nobody ever sees the folder without it.
	file, err := os.CreateTemp("", homePrefix+"*.lock")
	if err != nil {
		return nil, fmt.Errorf("make a lock for the servers' folder: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("make a lock for the servers' folder: %w", err)
	}
	h := &home{dir: strings.TrimSuffix(file.Name(), ".lock"), lock: flock.New(file.Name())}
	if err := h.lock.Lock(); err != nil {
		return nil, fmt.Errorf("lock the servers' folder: %w", err)
	}
	if err := os.Mkdir(h.dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the servers' folder: %w", err)
	}
	return h, nil
}

// folder makes a new folder for a server.
func (h *home) folder(name string) (string, error) {
	dir, err := os.MkdirTemp(h.dir, name+"-")
	if err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return dir, nil
}

func (h *home) close() error {
	if err := os.RemoveAll(h.dir); err != nil {
		return fmt.Errorf("remove the servers' folder: %w", err)
	}
	if err := os.Remove(h.lock.Path()); err != nil {
		return fmt.Errorf("remove the lock of the servers' folder: %w", err)
	}
	return h.lock.Close()
}

// removeStale removes what processes that were killed left behind.
func removeStale() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), homePrefix+"*[0-9]"))
	if err != nil {
		return fmt.Errorf("look for old servers' folders: %w", err)
	}
	for _, dir := range dirs {
		removeAbandoned(dir)
	}
	return nil
}

// removeAbandoned removes a servers' folder and tells that it did, when the process that made it has ended. It leaves
// alone what is in use, and what belongs to another user.
func removeAbandoned(dir string) bool {
	lock := flock.New(dir + ".lock")
	if free, err := lock.TryLock(); err != nil || !free {
		return false
	}
	return (&home{dir: dir, lock: lock}).close() == nil
}
