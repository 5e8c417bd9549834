package flush

import (
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/schema"
)

// FuzzQuestion demands that what is asked can be asked, and that what is refused is refused in a line, which fits a header.
func FuzzQuestion(f *testing.F) {
	f.Add("katib.flush.default.my-trial", []byte(`{}`))
	f.Add("katib.flush.default.my-trial", []byte(nil))
	f.Add("katib.flush.default.my%2Etrial", []byte(`{"producer":"me","number":7}`))
	f.Add("katib.flush._.my-trial", []byte(`{"producer":"me","number":18446744073709551615}`))
	f.Add("katib.flush.*.>", []byte("{\"producer\":\"\n\"}"))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		namespace, trial, question, err := read(subject, body)
		if err != nil {
			if text := err.Error(); text == "" || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("the reason is %q", text)
			}
			return
		}
		if schema.FlushSubject(namespace, trial) != subject {
			t.Fatalf("%q was taken for %s", subject, schema.FlushSubject(namespace, trial))
		}
		if question == (schema.FlushRequest{}) {
			return
		}
		if err := schema.ValidateProducer(question.Producer); err != nil || question.Number < 1 || question.Number > schema.MaxNumber {
			t.Fatalf("it asks for %+v, %v", question, err)
		}
	})
}
