package embedded

import (
	"fmt"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"
)

// bridge takes the server's warnings and errors to slog, and its fatal errors, which would end the process, to Start.
type bridge struct {
	log   *slog.Logger
	fatal chan string
}

var _ server.Logger = (*bridge)(nil)

func (b *bridge) Warnf(format string, args ...any) {
	b.log.Warn("embedded NATS server: " + fmt.Sprintf(format, args...))
}

func (b *bridge) Errorf(format string, args ...any) {
	b.log.Error("embedded NATS server: " + fmt.Sprintf(format, args...))
}

func (b *bridge) Fatalf(format string, args ...any) {
	select {
	case b.fatal <- fmt.Sprintf(format, args...):
	default:
	}
}

func (b *bridge) Noticef(string, ...any) {}
func (b *bridge) Debugf(string, ...any)  {}
func (b *bridge) Tracef(string, ...any)  {}
