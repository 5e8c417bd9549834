package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// lockFolder makes the folder, if need be, and keeps every other instance out of it until unlock is called or this
// process ends, however it does.
func lockFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w; give another with --data", err)
	}
	path := filepath.Join(dir, "lock")
	lock := flock.New(path)
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w; give another with --data", err)
	}
	if !locked {
		return nil, fmt.Errorf("lock the data folder %s: another katib-stream%s uses it; stop that one, or give another folder with --data", dir, holder(path))
	}
	// For the message above only: the lock itself is the kernel's.
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		lock.Close()
		return nil, fmt.Errorf("write the lock file: %w", err)
	}
	return func() { lock.Close() }, nil
}

// holder says which process holds the lock, as far as that can be known.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if _, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return ""
	}
	return " (process " + strings.TrimSpace(string(text)) + ")"
}
