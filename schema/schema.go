// Package schema is the contract on the wire: what an event is, how events travel as messages on subjects, what
// identifies a message, and how the streams and the consumer are configured.
//
// Everything else in this module, and the Python SDK, speaks this contract; the files under testdata pin it for both.
package schema

// Message headers of the contract.
const (
	// HeaderMsgID is JetStream's own deduplication header. It carries our identity, "<producer>:<number>".
	HeaderMsgID = "Nats-Msg-Id"
	// HeaderFinal is "true" on a producer's last message: the run ended with that many messages.
	HeaderFinal = "Katib-Stream-Final"
	// HeaderRequeued is, on a dead letter that was published again, the identity of what it was the dead letter of.
	HeaderRequeued = "Katib-Stream-Requeued"
)

// Headers that a dead letter carries beside the original message's own.
const (
	// HeaderReason says in a sentence why the message can never be persisted.
	HeaderReason = "Katib-Stream-Reason"
	// HeaderStage is the stage that refused the message: one of the Stage constants.
	HeaderStage = "Katib-Stream-Stage"
	// HeaderSubject is the subject the message was published to.
	HeaderSubject = "Katib-Stream-Subject"
	// HeaderSequence is the message's sequence in the stream KATIB_METRICS.
	HeaderSequence = "Katib-Stream-Sequence"
	// HeaderTime is the message's stream time, RFC 3339 with nanoseconds.
	HeaderTime = "Katib-Stream-Time"
	// HeaderDeadLetterOf is the identity of the dead letter itself, "<epoch>:<sequence>", so that it is stored once.
	HeaderDeadLetterOf = "Katib-Stream-Dead-Letter-Of"
)

// Stages that refuse a message for good.
const (
	// StageDecode refuses what this package's decoder refuses.
	StageDecode = "decode"
	// StageNamespace refuses what would write into another namespace's trial.
	StageNamespace = "namespace"
	// StagePersist refuses what the database will never take.
	StagePersist = "persist"
	// StageQuarantine refuses what has killed the consumer again and again.
	StageQuarantine = "quarantine"
)
