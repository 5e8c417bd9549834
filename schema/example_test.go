package schema_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// What a producer publishes, and what the consumer makes of it.
func Example() {
	subject := schema.Subject{Namespace: "default", Trial: "my-trial", Producer: "me"}
	body := schema.AppendEvent(nil, schema.Event{
		Step:    new(int64(12)),
		Metrics: []schema.Metric{schema.Number("loss", 0.125), {Name: "accuracy", Value: "0.9100"}},
	})
	fmt.Println(subject)
	fmt.Printf("%s\n", body)

	message, err := schema.Decode(schema.Stored{
		Subject: subject.String(),
		Header:  map[string][]string{schema.HeaderMsgID: {schema.MessageID("me", 1)}},
		Body:    body,
		Time:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(message.Subject.Trial, message.Identity.Source, message.Identity.Number)
	for _, event := range message.Events {
		fmt.Println(event.Time, *event.Step, event.Metrics)
	}
	// Output:
	// katib.metrics.default.my-trial.me
	// {"step":12,"metrics":{"loss":0.125,"accuracy":0.9100}}
	// my-trial me 1
	// 2026-11-24 12:00:00 +0000 UTC 12 [{loss 0.125} {accuracy 0.9100}]
}

// What breaks the contract is refused with the rule that it breaks, and the line.
func ExampleError() {
	_, err := schema.DecodeEvents([]byte(`{"metrics":{"loss":0.125}}` + "\n" + `{"metrics":{"loss":null}}`))
	var broken *schema.Error
	if errors.As(err, &broken) {
		fmt.Println(broken.Code, broken.Line)
	}
	fmt.Println(err)
	// Output:
	// metric-value 2
	// line 2: the value of "loss" is "null", neither a number nor a string
}
