package dbmanager

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config sets a Server up. The zero value of every field is its default.
type Config struct {
	// ReportAccepted answers a report when it is stored in the stream. Default: when it is persisted in Katib DB.
	ReportAccepted bool
	// ReadWait is how long a read waits for what is on its way to the database. Default 10 s.
	ReadWait time.Duration
	// ReadMax is how many bytes a reply may have; of a longer log only a part of the points is given. Default 3.5 MiB, which
	// is below what gRPC's clients take.
	ReadMax int
	// ReadDatabase lets reads give what the database has when NATS is away. Default: they are errors then.
	ReadDatabase bool
	// TLS is the server's side of TLS; TLSFiles makes one. Nil means plain text, which is what Katib's own clients speak.
	TLS *tls.Config
	// StopTimeout is how long calls under way may take when Run's context has ended. Default 10 s.
	StopTimeout time.Duration
	// Logger gets one line per event that matters. Nil means silent.
	Logger *slog.Logger
	// Registerer gets the Prometheus metrics. Nil means none.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	setDefault(&c.ReadWait, 10*time.Second)
	setDefault(&c.ReadMax, 7<<19)
	setDefault(&c.StopTimeout, 10*time.Second)
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	const least = 64 << 10
	switch {
	case c.ReadWait < 0 || c.StopTimeout < 0:
		return fmt.Errorf("read wait (%v) and stop timeout (%v) must not be negative", c.ReadWait, c.StopTimeout)
	case c.ReadMax < least || c.ReadMax > math.MaxInt32:
		return fmt.Errorf("read max is %d, not %d to %d", c.ReadMax, least, math.MaxInt32)
	}
	return nil
}
