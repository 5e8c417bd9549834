package schema

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// defaultPayload is the payload limit of a server that was not told another one.
const defaultPayload = 1 << 20

// setting is one demand on a configuration; names are those of the JSON.
type setting struct {
	name      string
	got, want any
}

func checkSettings(t *testing.T, settings []setting) {
	t.Helper()
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			if s.got != s.want {
				t.Errorf("%s is %v; want %v", s.name, s.got, s.want)
			}
		})
	}
}

func streamConfig(t *testing.T, data []byte) jetstream.StreamConfig {
	t.Helper()
	var config jetstream.StreamConfig
	if err := unmarshalStrictly(data, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// both are the demands on both streams.
func both(c jetstream.StreamConfig) []setting {
	return []setting{
		// Age, count and interest delete what nobody has persisted yet; only the janitor may, by purging.
		{"retention", c.Retention, jetstream.LimitsPolicy},
		{"max_age", c.MaxAge, time.Duration(0)},
		{"max_msgs", c.MaxMsgs, int64(-1)},
		{"max_msgs_per_subject", c.MaxMsgsPerSubject, int64(-1)},
		{"allow_rollup_hdrs", c.AllowRollup, false},
		{"deny_delete", c.DenyDelete, false},
		{"deny_purge", c.DenyPurge, false},
		// A full stream must tell the publisher, not drop the oldest.
		{"discard", c.Discard, jetstream.DiscardNew},
		{"max_bytes is bounded", c.MaxBytes > 0, true},
		{"storage", c.Storage, jetstream.FileStorage},
		{"compression", c.Compression, jetstream.S2Compression},
		{"num_replicas", c.Replicas, 1},
		{"duplicate_window", c.Duplicates, 2 * time.Minute},
		{"allow_direct", c.AllowDirect, true},
		{"max_consumers", c.MaxConsumers, -1},
		{"no_ack", c.NoAck, false},
		{"sealed", c.Sealed, false},
		{"subject_transform", c.SubjectTransform == nil, true},
		{"republish", c.RePublish == nil, true},
		{"allow_msg_ttl", c.AllowMsgTTL, false},
	}
}

func TestStreamConfig(t *testing.T) {
	c := streamConfig(t, StreamConfig)
	checkSettings(t, append(both(c),
		setting{"name", c.Name, Stream},
		setting{"subjects", strings.Join(c.Subjects, " "), SubjectPrefix + ".>"},
		setting{"max_msg_size", c.MaxMsgSize, int32(defaultPayload - PayloadReserve)},
	))
}

func TestDeadLetterConfig(t *testing.T) {
	c := streamConfig(t, DeadLetterConfig)
	checkSettings(t, append(both(c),
		setting{"name", c.Name, DeadLetterStream},
		setting{"subjects", strings.Join(c.Subjects, " "), DeadLetterPrefix + ".>"},
		// A dead letter is larger than its message, up to the server's own limit.
		setting{"max_msg_size", c.MaxMsgSize, int32(-1)},
	))
}

func TestConsumerConfig(t *testing.T) {
	var c jetstream.ConsumerConfig
	if err := unmarshalStrictly(ConsumerConfig, &c); err != nil {
		t.Fatal(err)
	}
	checkSettings(t, []setting{
		{"durable_name", c.Durable, Consumer},
		{"name", c.Name, Consumer},
		{"ack_policy", c.AckPolicy, jetstream.AckExplicitPolicy},
		// A message is tried for as long as the database is away.
		{"max_deliver", c.MaxDeliver, -1},
		{"ack_wait", c.AckWait, 30 * time.Second},
		{"backoff", len(c.BackOff), 0},
		// It persists everything, from the beginning of the stream.
		{"deliver_policy", c.DeliverPolicy, jetstream.DeliverAllPolicy},
		{"filter_subject", c.FilterSubject, ""},
		{"filter_subjects", len(c.FilterSubjects), 0},
		{"replay_policy", c.ReplayPolicy, jetstream.ReplayInstantPolicy},
		{"headers_only", c.HeadersOnly, false},
		// It must outlive every worker, and pull.
		{"inactive_threshold", c.InactiveThreshold, time.Duration(0)},
		{"deliver_subject", c.DeliverSubject, ""},
		{"mem_storage", c.MemoryStorage, false},
		// Dead letters that cannot be stored stay pending: they must not use up what the good messages need. The room that a
		// consumer has bounds what it has in hand.
		{"max_ack_pending", c.MaxAckPending, -1},
		{"max_batch", c.MaxRequestBatch, 0},
	})
}

// TestPayloadReserve adds up what a dead letter has beyond its message, at most.
func TestPayloadReserve(t *testing.T) {
	const (
		subject = 4096 // a server takes no longer protocol line by default
		reason  = 2048 // the consumer cuts it at half of that
		value   = 64   // a UUID and a sequence, a time, a stage
		framing = len("NATS/1.0\r\n\r\n") + 8*len(": \r\n")
	)
	names := []string{HeaderMsgID, HeaderReason, HeaderStage, HeaderSubject, HeaderSequence, HeaderTime, HeaderDeadLetterOf}
	sum := framing + subject + reason + (len(names)-2)*value + len(strings.Join(names, ""))
	if sum > PayloadReserve {
		t.Errorf("a dead letter adds up to %d bytes; %d are reserved", sum, PayloadReserve)
	}
}

// TestHeaders: a dead letter carries the original's headers beside its own, so no name may stand for both.
func TestHeaders(t *testing.T) {
	names := constants(t, "schema.go", "Header")
	if got := slices.Compact(slices.Clone(names)); len(got) != len(names) {
		t.Errorf("two headers have one name: %q", names)
	}
	for _, name := range names {
		if name != jetstream.MsgIDHeader && !strings.HasPrefix(name, "Katib-Stream-") {
			t.Errorf("header %s is neither JetStream's %s nor ours", name, jetstream.MsgIDHeader)
		}
	}
}
