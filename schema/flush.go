package schema

// FlushPrefix is the first two tokens of the subjects on which it is asked whether reports are persisted; FlushSubject
// adds the namespace and the trial.
const FlushPrefix = "katib.flush"

// FlushRequest asks whether messages are persisted. With a producer it is the producer's own question: are its messages up
// to Number? Without one it is a reader's: is every message of the trial that the stream holds at the time of asking?
type FlushRequest struct {
	Producer string `json:"producer,omitempty"`
	Number   uint64 `json:"number,omitempty"`
}

// FlushStatus is the answer to a FlushRequest in a word.
type FlushStatus string

const (
	// FlushPersisted says that all of them are persisted.
	FlushPersisted FlushStatus = "persisted"
	// FlushPending says that some are not, after the service has waited for a while. Ask again.
	FlushPending FlushStatus = "pending"
	// FlushDeleted says that the trial was deleted, and the messages with it.
	FlushDeleted FlushStatus = "deleted"
	// FlushMissing says that neither the stream nor the database has the producer's message, or anything of the trial.
	FlushMissing FlushStatus = "missing"
)

// FlushAnswer is the answer to a FlushRequest.
type FlushAnswer struct {
	Status FlushStatus `json:"status"`
	// Pending is about how many messages are on their way.
	Pending uint64 `json:"pending,omitempty"`
	// DeadLetters is how many of the persisted messages are dead letters.
	DeadLetters uint64 `json:"dead_letters,omitempty"`
	// Missing is how many numbers the stream never got: of the producer up to its number, or of the trial's producers below
	// the greatest that arrived.
	Missing uint64 `json:"missing,omitempty"`
}

// FlushSubject is where a FlushRequest about a trial goes.
func FlushSubject(namespace, trial string) string {
	return FlushPrefix + "." + EncodeToken(namespace) + "." + EncodeToken(trial)
}

// ParseFlushSubject is the inverse of FlushSubject. What it does not write is an *Error.
func ParseFlushSubject(subject string) (namespace, trial string, err error) {
	tokens, err := tokensAfter(FlushPrefix, subject, 2, "<namespace>.<trial>")
	if err != nil {
		return "", "", err
	}
	if err := ValidateNamespace(tokens[0]); err != nil {
		return "", "", err
	}
	return tokens[0], tokens[1], ValidateTrial(tokens[1])
}
