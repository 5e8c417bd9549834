package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// The parts of the way that can be unwell.
const (
	partStream      = "stream"
	partDatabase    = "database"
	partDeadLetters = "dead letter stream"
	partJanitor     = "janitor"
)

// everyWorker is who sees a part that is the same for all: the last of them is right.
const everyWorker = -1

// fetching is who sees the stream.
const fetching = 0

// errStarting is how a part is before it was well for the first time: not ready, and no news.
var errStarting = errors.New("not set up yet")

// health keeps what is wrong, by part and by who saw it, and logs when a part changes, not each time a worker meets it.
type health struct {
	log   *slog.Logger
	mu    sync.Mutex
	wrong map[string]map[int]error
}

func newHealth(log *slog.Logger) *health {
	h := &health{log: log, wrong: map[string]map[int]error{}}
	for _, part := range []string{partStream, partDatabase, partDeadLetters, partJanitor} {
		h.wrong[part] = map[int]error{}
	}
	h.wrong[partStream][fetching] = errStarting
	return h
}

// set notes how a part is for one worker; nil means well.
func (h *health) set(part string, worker int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := bad(h.wrong[part])
	if err == nil {
		delete(h.wrong[part], worker)
	} else {
		h.wrong[part][worker] = err
	}
	switch is := bad(h.wrong[part]); {
	case was == nil && is != nil:
		h.log.Warn(part+" is not well; nothing is lost, trying again until it is", "error", is)
	case was != nil && is == nil:
		h.log.Info(part+" is well again", "was", was)
	}
}

// started notes that a worker's stream is set up for the first time.
func (h *health) started(worker int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(h.wrong[partStream][worker], errStarting) {
		delete(h.wrong[partStream], worker)
	}
}

func bad(errs map[int]error) error {
	for _, err := range errs {
		if !errors.Is(err, errStarting) {
			return err
		}
	}
	return nil
}

// err says what keeps messages from being persisted; the janitor's troubles do not.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, part := range []string{partStream, partDatabase, partDeadLetters} {
		for _, err := range h.wrong[part] {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}
