package schema

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func eventSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// conforms reports whether every event of a body is JSON that the schema accepts.
func conforms(schema *jsonschema.Schema, body string) error {
	for line := range strings.SplitSeq(body, "\n") {
		if strings.Trim(line, " \t\r") == "" {
			continue
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestEventSchema holds the schema to the vectors, and so to the decoder: it accepts what is good, and refuses what is
// bad, but for what a vector says it cannot see.
func TestEventSchema(t *testing.T) {
	schema := eventSchema(t)
	for _, v := range load[eventsRow](t, "events.json") {
		t.Run(v.Name, func(t *testing.T) {
			err := conforms(schema, string(v.Body))
			switch {
			case v.Code == "" && err != nil:
				t.Errorf("the schema refuses a good body: %v", err)
			case v.Code != "" && v.BeyondSchema == "" && err == nil:
				t.Errorf("the schema accepts what breaks the rule %q", v.Code)
			case v.BeyondSchema != "" && err != nil:
				t.Errorf("the schema does refuse this, although %q: %v", v.BeyondSchema, err)
			case v.Code == "" && v.BeyondSchema != "":
				t.Error("a good body is not beyond the schema")
			}
		})
	}
}

func TestEventSchemaTakesWhatIsWritten(t *testing.T) {
	schema := eventSchema(t)
	for _, v := range load[encodedRow](t, "encoded.json") {
		t.Run(v.Name, func(t *testing.T) {
			if err := conforms(schema, string(v.Line)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEventSchemaExamples: the library does not look at examples, but readers do.
func TestEventSchemaExamples(t *testing.T) {
	data, err := os.ReadFile("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Examples   []json.RawMessage `json:"examples"`
		Properties map[string]struct {
			Examples []json.RawMessage `json:"examples"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		t.Fatal(err)
	}
	events := page.Examples
	for _, metrics := range page.Properties["metrics"].Examples {
		events = append(events, json.RawMessage(`{"metrics":`+string(metrics)+`}`))
	}
	for _, name := range []string{"time", "step"} {
		for _, value := range page.Properties[name].Examples {
			events = append(events, json.RawMessage(`{"`+name+`":`+string(value)+`,"metrics":{"loss":1}}`))
		}
	}
	if len(events) < 5 {
		t.Fatalf("only %d examples found", len(events))
	}
	schema := eventSchema(t)
	for _, event := range events {
		line := strings.ReplaceAll(string(event), "\n", " ")
		if err := errors.Join(conforms(schema, line), decodes(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func decodes(line string) error {
	_, err := DecodeEvents([]byte(line))
	return err
}
