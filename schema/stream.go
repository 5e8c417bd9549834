package schema

import _ "embed"

// Names of the streams and of the consumer.
const (
	// Stream keeps every message that was reported.
	Stream = "KATIB_METRICS"
	// DeadLetterStream keeps the messages that can never be persisted, each with its reason.
	DeadLetterStream = "KATIB_DEADLETTERS"
	// Consumer is the durable consumer that all workers share.
	Consumer = "katib-db"
	// MetadataEpoch is the key, in the stream's metadata, of the UUID that it was given when it was created. A stream
	// that is made anew counts its sequences from 1 again; the epoch tells them apart.
	MetadataEpoch = "katib-stream-epoch"
	// PayloadReserve is how far the largest message stays under the server's payload limit, in bytes, so that a dead
	// letter, which is the message with its reason, still fits.
	PayloadReserve = 16 << 10
)

// The configurations, as JetStream's API (and `nats stream add --config`) takes them. Sizes and replicas are those of a
// single local server: whoever creates the streams sets max_bytes, max_msg_size, num_replicas and the epoch.
var (
	//go:embed stream.json
	StreamConfig []byte
	//go:embed deadletters.json
	DeadLetterConfig []byte
	//go:embed consumer.json
	ConsumerConfig []byte
)
