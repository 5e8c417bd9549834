package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// StreamConfig is what schema's stream configurations leave to whoever creates the streams. It does not change streams
// that exist: resize those with `nats stream edit`.
type StreamConfig struct {
	// MaxBytes is the size at which KATIB_METRICS refuses new messages. Default 10 GiB, at least 2 MiB.
	MaxBytes int64
	// DeadLetterMaxBytes is the same for KATIB_DEADLETTERS. Default 1 GiB, at least 2 MiB.
	DeadLetterMaxBytes int64
	// Replicas is 1 to 5; a cluster wants 3. Default 1.
	Replicas int
	// DuplicateWindow is for how long the server itself recognises a repeated Nats-Msg-Id. Default 2 minutes.
	DuplicateWindow time.Duration
}

func (s StreamConfig) withDefaults() StreamConfig {
	setDefault(&s.MaxBytes, 10<<30)
	setDefault(&s.DeadLetterMaxBytes, 1<<30)
	setDefault(&s.Replicas, 1)
	setDefault(&s.DuplicateWindow, 2*time.Minute)
	return s
}

func (s StreamConfig) validate() error {
	const least = 2 << 20
	switch {
	case s.MaxBytes < least || s.DeadLetterMaxBytes < least:
		return fmt.Errorf("stream sizes (%d and %d bytes) must be at least %d", s.MaxBytes, s.DeadLetterMaxBytes, least)
	case s.Replicas < 1 || s.Replicas > 5:
		return fmt.Errorf("replicas is %d, not 1 to 5", s.Replicas)
	case s.DuplicateWindow < 100*time.Millisecond:
		return fmt.Errorf("duplicate window is %v, less than 100ms", s.DuplicateWindow)
	}
	return nil
}

// EnsureStreams creates KATIB_METRICS and KATIB_DEADLETTERS where they do not exist, and returns the epoch of the first:
// what tells it from a later stream of the same name. Streams that exist are left as they are, except that one without
// an epoch, made by hand, gets one; one that would lose messages is refused.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, cfg StreamConfig) (epoch string, err error) {
	stream, err := ensureStreams(ctx, js, cfg.withDefaults())
	if err != nil {
		return "", err
	}
	return epochOf(stream), nil
}

func ensureStreams(ctx context.Context, js jetstream.JetStream, cfg StreamConfig) (jetstream.Stream, error) {
	if _, err := ensureStream(ctx, js, schema.DeadLetterConfig, func(sc *jetstream.StreamConfig) {
		sc.MaxBytes = cfg.DeadLetterMaxBytes
		sc.Replicas = cfg.Replicas
	}); err != nil {
		return nil, err
	}
	stream, err := ensureStream(ctx, js, schema.StreamConfig, func(sc *jetstream.StreamConfig) {
		sc.MaxBytes = cfg.MaxBytes
		sc.Replicas = cfg.Replicas
		sc.Duplicates = cfg.DuplicateWindow
		sc.MaxMsgSize = int32(js.Conn().MaxPayload() - schema.PayloadReserve)
		sc.Metadata = map[string]string{schema.MetadataEpoch: strings.ReplaceAll(uuid.NewString(), "-", "")}
	})
	if err != nil {
		return nil, err
	}
	if err := keepsMessages(stream.CachedInfo().Config); err != nil {
		return nil, err
	}
	return withEpoch(ctx, js, stream)
}

func ensureStream(ctx context.Context, js jetstream.JetStream, config []byte, adjust func(*jetstream.StreamConfig)) (jetstream.Stream, error) {
	var sc jetstream.StreamConfig
	if err := json.Unmarshal(config, &sc); err != nil {
		return nil, fmt.Errorf("read the built-in stream configuration: %w", err)
	}
	stream, err := js.Stream(ctx, sc.Name)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, wrap(err, "look up stream %s", sc.Name)
	}
	adjust(&sc)
	stream, err = js.CreateStream(ctx, sc)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another replica was faster
		stream, err = js.Stream(ctx, sc.Name)
	}
	return stream, wrap(err, "create stream %s (%d bytes, %d replicas)", sc.Name, sc.MaxBytes, sc.Replicas)
}

// keepsMessages refuses a stream that was made by hand in a way that loses what nobody has persisted yet.
func keepsMessages(sc jetstream.StreamConfig) error {
	var wrong []string
	if sc.MaxAge != 0 {
		wrong = append(wrong, "max age must be unlimited")
	}
	if sc.Retention != jetstream.LimitsPolicy {
		wrong = append(wrong, "retention must be limits")
	}
	if sc.Discard != jetstream.DiscardNew {
		wrong = append(wrong, "discard must be new")
	}
	if sc.MaxMsgsPerSubject > 0 && !sc.DiscardNewPerSubject {
		wrong = append(wrong, "messages per subject must be unlimited")
	}
	if sc.AllowRollup {
		wrong = append(wrong, "roll-up headers must be denied")
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("stream %s would lose messages that are not persisted yet: %s; mend it with `nats stream edit %s`", sc.Name, strings.Join(wrong, ", "), sc.Name)
}

func epochOf(stream jetstream.Stream) string {
	return stream.CachedInfo().Config.Metadata[schema.MetadataEpoch]
}

// withEpoch gives a stream that was made by hand an epoch: one that every replica derives alike, so that two that start
// at once agree.
func withEpoch(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) (jetstream.Stream, error) {
	if epochOf(stream) != "" {
		return stream, nil
	}
	info := stream.CachedInfo()
	sum := sha256.Sum256(info.Created.AppendFormat([]byte(info.Config.Name), time.RFC3339Nano))
	sc := info.Config
	if sc.Metadata == nil {
		sc.Metadata = map[string]string{}
	}
	sc.Metadata[schema.MetadataEpoch] = hex.EncodeToString(sum[:16])
	stream, err := js.UpdateStream(ctx, sc)
	return stream, wrap(err, "mark stream %s with an epoch", sc.Name)
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
