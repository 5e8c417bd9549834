package schema

import "fmt"

// Code names a rule of the contract that was broken. Codes are stable: they stand in the test vectors and in dead
// letters, and every implementation of the contract uses the same ones.
type Code string

// The rules that can be broken.
const (
	CodeSubject     Code = "subject"      // the subject is not katib.metrics.<namespace>.<trial>.<producer>
	CodeNamespace   Code = "namespace"    // the namespace is no valid Kubernetes name
	CodeTrial       Code = "trial"        // the trial is no valid Kubernetes name
	CodeProducer    Code = "producer"     // the producer is no valid producer id
	CodeEmpty       Code = "empty"        // there is no event, and the message is not final
	CodeUTF8        Code = "utf8"         // the text is not valid UTF-8, or escapes half a surrogate pair
	CodeJSON        Code = "json"         // a line is not one JSON object
	CodeDuplicate   Code = "duplicate"    // a field or a metric stands twice in one event
	CodeTime        Code = "time"         // the time is not RFC 3339 with up to nanoseconds, in the years 1 to 9999
	CodeStep        Code = "step"         // the step is not an integer from 0 to 2^63-1
	CodeMetrics     Code = "metrics"      // metrics is missing, empty or not an object
	CodeMetricName  Code = "metric-name"  // a metric name is not 1 to 255 characters without control characters
	CodeMetricValue Code = "metric-value" // a value is neither a number nor a string of at most 65,535 bytes without NUL
)

// Error says which rule of the contract something breaks, and where. It is what every function of this package that
// refuses its input returns; find it with errors.As.
type Error struct {
	Code Code
	// Line is the 1-based line of the message's body, 0 for what is not in the body.
	Line int
	// Detail says in words what is wrong, and with which value.
	Detail string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Detail
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
}

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// quote cuts s for an error message: at most 64 bytes of it, quoted.
func quote(s string) string {
	const limit = 64
	if len(s) <= limit {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
}
