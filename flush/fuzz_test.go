package flush

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/schema"
)

// What is taken for a question can be asked, and what is not gets an answer that fits into a header.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", `{"producer":"me","number":1}`, `{"producer":"me"}`, `{"number":1}`, `{"producer":"me","number":9223372036854775807}`,
		`{"producer":"a b","number":1}`, `{"producer":1}`, `{"number":` + strings.Repeat("1", 2_000) + `}`, "[]", "null", "\xff",
	} {
		f.Add("katib.flush.default.my-trial", []byte(seed))
	}
	f.Add("katib.flush._.my%2Etrial", []byte(nil))
	f.Add("katib.flush.default", []byte(nil))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		namespace, trial, question, err := read(subject, body)
		if err != nil {
			if text := err.Error(); text == "" || len(text) > 512 || strings.ContainsAny(text, "\r\n") {
				t.Errorf("the answer would have the header %q", text)
			}
			return
		}
		if schema.FlushSubject(namespace, trial) != subject {
			t.Errorf("%q is read as %s/%s", subject, namespace, trial)
		}
		if question.Producer == "" && question.Number == 0 {
			return
		}
		who := schema.Subject{Namespace: namespace, Trial: trial, Producer: question.Producer}
		if err := who.Validate(); err != nil || question.Number < 1 || question.Number > schema.MaxNumber {
			t.Errorf("%+v is asked: %v", question, err)
		}
		again, err := json.Marshal(question)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, same, err := read(subject, again); err != nil || same != question {
			t.Errorf("%s is read as %+v, %v", again, same, err)
		}
	})
}
