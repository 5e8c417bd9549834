package schema

import (
	"regexp"
	"strings"
)

const (
	// SubjectPrefix is the first two tokens of every metrics subject.
	SubjectPrefix = "katib.metrics"
	// DeadLetterPrefix is the first two tokens of every dead letter's subject; the rest is the original's.
	DeadLetterPrefix = "katib.deadletters"
	// NamespaceUnknown is the reserved namespace of reports that came through Katib's gRPC interface, which carries none.
	NamespaceUnknown = "_"

	maxNameLength     = 253
	maxProducerLength = 64
)

// Subject says whose events a message carries. Its string form is katib.metrics.<namespace>.<trial>.<producer>, with
// "." written as %2E and "%" as %25 inside a token.
type Subject struct {
	// Namespace is a Kubernetes namespace, or NamespaceUnknown.
	Namespace string
	// Trial is the Trial's name.
	Trial string
	// Producer is the id of one writer of one trial: 32 hex digits when a library made it, by hand 1 to 64 letters,
	// digits, "-", "_", "." or "%".
	Producer string
}

// String gives the subject as published. It is meant for a Subject that Validate accepts.
func (s Subject) String() string {
	return SubjectPrefix + "." + EncodeToken(s.Namespace) + "." + EncodeToken(s.Trial) + "." + EncodeToken(s.Producer)
}

// Validate returns an *Error when the namespace, the trial or the producer is not valid.
func (s Subject) Validate() error {
	if err := ValidateNamespace(s.Namespace); err != nil {
		return err
	}
	if err := ValidateTrial(s.Trial); err != nil {
		return err
	}
	return ValidateProducer(s.Producer)
}

// ParseSubject is the inverse of Subject.String. One trial has exactly one spelling: anything else is an *Error.
func ParseSubject(subject string) (Subject, error) {
	tokens, err := tokensAfter(SubjectPrefix, subject, 3, "<namespace>.<trial>.<producer>")
	if err != nil {
		return Subject{}, err
	}
	s := Subject{Namespace: tokens[0], Trial: tokens[1], Producer: tokens[2]}
	return s, s.Validate()
}

// tokensAfter decodes the n tokens that follow the prefix; shape names them in the error.
func tokensAfter(prefix, subject string, n int, shape string) ([]string, error) {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	tokens := strings.Split(rest, ".")
	if !ok || len(tokens) != n {
		return nil, refuse(CodeSubject, "subject %s is not %s.%s", quote(subject), prefix, shape)
	}
	for i, token := range tokens {
		decoded, ok := DecodeToken(token)
		if !ok {
			return nil, refuse(CodeSubject, "subject token %s: %% may only stand in %%2E and %%25", quote(token))
		}
		tokens[i] = decoded
	}
	return tokens, nil
}

// TrialFilter is the subject filter that matches every producer of a trial; namespace "*" matches every namespace.
func TrialFilter(namespace, trial string) string {
	if namespace != "*" {
		namespace = EncodeToken(namespace)
	}
	return SubjectPrefix + "." + namespace + "." + EncodeToken(trial) + ".*"
}

var (
	tokenEncoder = strings.NewReplacer("%", "%25", ".", "%2E")
	tokenDecoder = strings.NewReplacer("%25", "%", "%2E", ".")
)

// EncodeToken writes a name as one subject token: "." as %2E and "%" as %25.
func EncodeToken(name string) string {
	return tokenEncoder.Replace(name)
}

// DecodeToken is the inverse of EncodeToken; ok is false for a token that EncodeToken never writes.
func DecodeToken(token string) (name string, ok bool) {
	name = tokenDecoder.Replace(token)
	return name, EncodeToken(name) == token
}

var (
	dns1123      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	producerName = regexp.MustCompile(`^[A-Za-z0-9._%-]+$`)
)

// ValidateNamespace returns an *Error unless namespace is a Kubernetes name or NamespaceUnknown.
func ValidateNamespace(namespace string) error {
	if namespace == NamespaceUnknown {
		return nil
	}
	return validateName(CodeNamespace, "namespace", namespace)
}

// ValidateTrial returns an *Error unless trial is a valid Kubernetes name (a DNS-1123 subdomain of at most 253
// characters: lower-case letters, digits, "-" and ".").
func ValidateTrial(trial string) error {
	return validateName(CodeTrial, "trial name", trial)
}

func validateName(code Code, what, name string) error {
	switch {
	case name == "":
		return refuse(code, "the %s is empty", what)
	case len(name) > maxNameLength:
		return refuse(code, "the %s %s is longer than %d characters", what, quote(name), maxNameLength)
	case !dns1123.MatchString(name):
		return refuse(code, "the %s %s is no Kubernetes name (lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit)", what, quote(name))
	}
	return nil
}

// ValidateProducer returns an *Error unless producer is 1 to 64 letters, digits, "-", "_", "." or "%".
func ValidateProducer(producer string) error {
	if len(producer) > maxProducerLength || !producerName.MatchString(producer) {
		return refuse(CodeProducer, "the producer id %s is not 1 to %d letters, digits, '-', '_', '.' or '%%'", quote(producer), maxProducerLength)
	}
	return nil
}
