package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/spool"
)

// glance is how often a drain looks whether there is progress.
const glance = 100 * time.Millisecond

// DrainConfig says what Drain does.
type DrainConfig struct {
	// Spool is the folder.
	Spool string
	// Patience is for how long the stream may take nothing before Drain gives up. Default: for ever, until the context ends.
	Patience time.Duration
	// MaxInFlight and AckWait are as in Config.
	MaxInFlight int
	AckWait     time.Duration
	// Progress is called now and then, from Drain's goroutine, with what is done so far. Nil means not at all.
	Progress func(DrainResult)
	// Logger gets a line for each file that is set aside. Nil means silent.
	Logger *slog.Logger
}

// DrainResult is what a drain has done.
type DrainResult struct {
	// Files is how many files are delivered as far as they can be; they are gone, or set aside.
	Files int
	// Messages and Events are how much of them the stream has acknowledged.
	Messages, Events uint64
	// Left are the files that were not delivered, and those that are set aside, for each the reason.
	Left []LeftFile
}

// LeftFile is a file of the spool that a drain could not deliver, or not all of it.
type LeftFile struct {
	Name string
	// Reason says why. With errors.Is it is ErrHeld when a living process holds the file, which will deliver it,
	// ErrNotPermitted when this user may not publish what it holds, and ErrAside when it was set aside.
	Reason error
}

// Reasons for which a drain leaves files.
var (
	// ErrHeld says that a living process holds the file.
	ErrHeld = spool.ErrLocked
	// ErrAside says that the file is set aside, because something in it can never be delivered.
	ErrAside = errors.New("set aside")
)

// Drain delivers what producers that died left in a folder of the spool, of whatever trial: the same messages under the
// same ids, so that none is persisted twice, and removes the files. Those that living processes hold it leaves alone; any
// number of drains can go on at a time. It ends when it has tried each file that was there when it began, when ctx ends, or
// when the stream takes nothing for so long as cfg.Patience says. The error says that the folder cannot be read.
func Drain(ctx context.Context, nc *nats.Conn, cfg DrainConfig) (DrainResult, error) {
	setDefault(&cfg.MaxInFlight, 64)
	setDefault(&cfg.AckWait, 10*time.Second)
	setDefault(&cfg.Logger, slog.New(slog.DiscardHandler))
	d := &drain{cfg: cfg, nc: nc, folder: spool.Look(cfg.Spool)}
	err := d.run(ctx)
	return d.result, err
}

type drain struct {
	cfg    DrainConfig
	nc     *nats.Conn
	folder *spool.Folder
	result DrainResult
}

func (d *drain) run(ctx context.Context) error {
	files, err := d.folder.List()
	if err != nil {
		return err
	}
	if err := d.folder.Sweep(); err != nil {
		d.cfg.Logger.Warn("what is left of unfinished files cannot be removed", "error", err)
	}
	var over error // why no more files are tried
	for _, f := range files {
		if f.Aside || f.Temporary {
			continue
		}
		if over == nil {
			over = ctx.Err()
		}
		if over != nil {
			d.leave(f.Name, over)
			continue
		}
		over = d.file(ctx, f.Name)
		d.progress(0, 0)
	}
	return nil
}

// file delivers one file. The error says that others need not be tried.
func (d *drain) file(ctx context.Context, name string) (over error) {
	l, left, err := open(d.folder, name, d.cfg.Logger)
	var aside *asideError
	switch {
	case errors.Is(err, spool.ErrGone):
		return nil
	case errors.As(err, &aside):
		d.leave(name, fmt.Errorf("%w: %w", ErrAside, aside.err))
		return nil
	case err != nil:
		d.leave(name, err)
		return nil
	}
	p, err := takeUp(d.nc, d.cfg, l, left)
	if err != nil {
		d.leave(name, errors.Join(err, l.Close()))
		return err
	}
	err = d.wait(ctx, p)
	stats := p.Stats()
	d.result.Messages += stats.Messages
	d.result.Events += stats.Stored
	switch {
	case err != nil:
		d.leave(name, err)
	case strings.HasSuffix(l.Path(), name):
		d.result.Files++
	default:
		d.result.Files++
		d.leave(name, fmt.Errorf("%w: %s", ErrAside, l.aside))
	}
	if errors.Is(err, ErrNotPermitted) {
		return nil // others may be permitted
	}
	return err
}

// wait is until a producer that was taken up has settled everything; the error says why it has not.
func (d *drain) wait(ctx context.Context, p *Producer) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	moved, before := time.Now(), 0
	for {
		select {
		case <-p.done:
			return p.unfinished()
		case <-ctx.Done():
			return d.stop(p, ctx.Err())
		case <-ticker.C:
		}
		s := p.Stats()
		if s.WaitingEvents != before {
			moved, before = time.Now(), s.WaitingEvents
		}
		d.progress(s.Messages, s.Stored)
		if d.cfg.Patience > 0 && time.Since(moved) > d.cfg.Patience {
			return d.stop(p, fmt.Errorf("the stream took nothing for %v", d.cfg.Patience))
		}
	}
}

// stop ends a producer that was taken up. Its file stays locked if it hangs in a write, until the write ends.
func (d *drain) stop(p *Producer, cause error) error {
	p.halt(cause)
	p.waitDone(grace)
	return p.unfinished()
}

// unfinished is why not everything is settled, nil if it is.
func (p *Producer) unfinished() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.complete() {
		return nil
	}
	stuck := p.delivery.stuck
	if errors.Is(p.cause, ErrNotPermitted) {
		stuck = nil // it is the cause
	}
	return because(p.cause, p.delivery.dead, stuck)
}

func (d *drain) leave(name string, reason error) {
	d.result.Left = append(d.result.Left, LeftFile{Name: name, Reason: reason})
}

// progress tells of what is done, with so much of the file in hand.
func (d *drain) progress(messages, events uint64) {
	if d.cfg.Progress == nil {
		return
	}
	now := d.result
	now.Messages += messages
	now.Events += events
	d.cfg.Progress(now)
}
