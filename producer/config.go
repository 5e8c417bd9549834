package producer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// namespaceFile is where Kubernetes tells a pod its namespace.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// trialVariable is how Katib tells a training job its trial.
	trialVariable = "KATIB_TRIAL_NAME"
)

// Config sets a Producer up. The zero value is right inside a Katib Trial's pod.
type Config struct {
	// Namespace is the trial's namespace. Default: the pod's own; outside of a pod "default".
	Namespace string
	// Trial is the trial's name. Default: $KATIB_TRIAL_NAME.
	Trial string

	// BatchEvents, BatchBytes and BatchWait say when a batch is sent: when it holds so many events, or so many bytes of
	// encoded events, or when its first event is so old. While the stream does not keep up (MaxInFlight is reached, or
	// nothing goes) a batch goes on growing past BatchEvents and BatchWait, but never past BatchBytes, unless a single
	// event is larger.
	// Defaults: 1000 events, 256 KiB, 100 ms.
	BatchEvents int
	BatchBytes  int
	BatchWait   time.Duration

	// BufferBytes is how many bytes of encoded events may be accepted and not yet stored. Default 64 MiB. A larger event
	// is taken when nothing else waits.
	BufferBytes int
	// BufferWait is how long Report waits for room in a full buffer before it returns a *BufferFullError. Default 5 s;
	// negative means not at all.
	BufferWait time.Duration

	// MaxInFlight is how many messages may be published and not yet acknowledged. Default 64.
	MaxInFlight int
	// AckWait is how long one attempt to publish waits for its acknowledgement before the message is sent again under the
	// same id. Default 10 s.
	AckWait time.Duration

	// Spool is a folder in which what is accepted is kept until it is stored, so that it survives the end of the process,
	// however it ends: the next producer on the folder, of whatever trial, delivers it. It is made if need be; any number of
	// processes can share it. Default: none, which "none" says as well.
	Spool string
	// SpoolBytes is how many bytes all files in the folder may take together. When they do, or when the folder takes no file
	// for another reason, what follows is in memory only, and another file is tried now and then. Default 256 MiB.
	SpoolBytes int64

	// Logger gets one line when delivery gets stuck, and why, one when it goes again, and one for each message that can
	// never be delivered; one when the spool takes no more, and one when it does again; and one for what it delivered, or
	// could not, that a dead process had left there. Nil means silent.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Trial, os.Getenv(trialVariable))
	setDefault(&c.BatchEvents, 1000)
	setDefault(&c.BatchBytes, 256<<10)
	setDefault(&c.BatchWait, 100*time.Millisecond)
	setDefault(&c.BufferBytes, 64<<20)
	setDefault(&c.BufferWait, 5*time.Second)
	setDefault(&c.MaxInFlight, 64)
	setDefault(&c.AckWait, 10*time.Second)
	setDefault(&c.SpoolBytes, spool.DefaultBytes)
	if c.Spool == noSpool {
		c.Spool = ""
	}
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.Namespace == "" {
		namespace, err := podNamespace(namespaceFile)
		if err != nil {
			return c, err
		}
		c.Namespace = namespace
	}
	return c, c.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func podNamespace(file string) (string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "default", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the pod's namespace: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (c Config) validate() error {
	if c.Trial == "" {
		return errors.New("no trial is given: set Config.Trial or $" + trialVariable)
	}
	if err := schema.ValidateNamespace(c.Namespace); err != nil {
		return err
	}
	if err := schema.ValidateTrial(c.Trial); err != nil {
		return err
	}
	for name, value := range map[string]int64{
		"BatchEvents": int64(c.BatchEvents), "BatchBytes": int64(c.BatchBytes), "BatchWait": int64(c.BatchWait),
		"BufferBytes": int64(c.BufferBytes), "MaxInFlight": int64(c.MaxInFlight), "AckWait": int64(c.AckWait),
		"SpoolBytes": c.SpoolBytes,
	} {
		if value < 0 {
			return fmt.Errorf("%s is %d, less than 0", name, value)
		}
	}
	return nil
}
