package schema

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// asyncAPI is the part of the page that has counterparts in the code.
type asyncAPI struct {
	Version    string                  `yaml:"asyncapi"`
	Channels   map[string]asyncChannel `yaml:"channels"`
	Operations map[string]struct {
		Summary string `yaml:"summary"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]asyncMessage `yaml:"messages"`
	} `yaml:"components"`
}

type asyncChannel struct {
	Address     string `yaml:"address"`
	Description string `yaml:"description"`
	Parameters  map[string]struct {
		Examples  []string `yaml:"examples"`
		MaxLength int      `yaml:"x-maxLength"`
		Pattern   string   `yaml:"x-pattern"`
	} `yaml:"parameters"`
}

type asyncMessage struct {
	Description string            `yaml:"description"`
	Payload     map[string]string `yaml:"payload"`
	Headers     struct {
		Required   []string `yaml:"required"`
		Properties map[string]struct {
			Enum []string `yaml:"enum"`
		} `yaml:"properties"`
	} `yaml:"headers"`
	Examples []struct {
		Headers map[string]string `yaml:"headers"`
		Payload any               `yaml:"payload"`
	} `yaml:"examples"`
}

func loadAsyncAPI(t *testing.T, page any) {
	t.Helper()
	data, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, page); err != nil {
		t.Fatal(err)
	}
}

func TestAsyncAPIChannels(t *testing.T) {
	var page asyncAPI
	loadAsyncAPI(t, &page)
	if page.Version != "3.0.0" {
		t.Errorf("the page is AsyncAPI %s; want 3.0.0", page.Version)
	}
	tests := []struct{ name, prefix, stream string }{
		{"metrics", SubjectPrefix, Stream},
		{"deadLetters", DeadLetterPrefix, DeadLetterStream},
	}
	if len(page.Channels) != len(tests) {
		t.Errorf("the page has %d channels; the contract has %d", len(page.Channels), len(tests))
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			channel := page.Channels[test.name]
			if want := test.prefix + ".{namespace}.{trial}.{producer}"; channel.Address != want {
				t.Errorf("the address is %s; want %s", channel.Address, want)
			}
			if !strings.Contains(channel.Description, test.stream) {
				t.Errorf("the description does not say that the stream is %s", test.stream)
			}
			checkParameters(t, channel)
		})
	}
	if !strings.Contains(page.Operations["persist"].Summary, Consumer) {
		t.Errorf("the operation persist does not say that the consumer is %s", Consumer)
	}
}

func checkParameters(t *testing.T, channel asyncChannel) {
	t.Helper()
	tests := []struct {
		name     string
		length   int
		pattern  string
		validate func(string) error
	}{
		{"namespace", maxNameLength, dns1123.String(), ValidateNamespace},
		{"trial", maxNameLength, dns1123.String(), ValidateTrial},
		{"producer", maxProducerLength, producerName.String(), ValidateProducer},
	}
	for _, test := range tests {
		parameter, ok := channel.Parameters[test.name]
		if !ok || len(parameter.Examples) == 0 {
			t.Errorf("parameter %s is missing, or has no examples", test.name)
		}
		if parameter.MaxLength != test.length || parameter.Pattern != test.pattern {
			t.Errorf("parameter %s is at most %d of %s; want %d of %s", test.name, parameter.MaxLength, parameter.Pattern, test.length, test.pattern)
		}
		for _, token := range parameter.Examples {
			name, ok := DecodeToken(token)
			if err := test.validate(name); !ok || err != nil {
				t.Errorf("the example %q of parameter %s is no such token: %v", token, test.name, err)
			}
		}
	}
}

func TestAsyncAPIMessages(t *testing.T) {
	var page asyncAPI
	loadAsyncAPI(t, &page)
	metrics, dead := page.Components.Messages["metrics"], page.Components.Messages["deadLetter"]
	lists := []struct {
		name      string
		got, want []string
	}{
		{"headers of metrics", slices.Sorted(maps.Keys(metrics.Headers.Properties)), sorted(HeaderMsgID, HeaderFinal, HeaderRequeued)},
		{"headers of a dead letter", slices.Sorted(maps.Keys(dead.Headers.Properties)), slices.DeleteFunc(constants(t, "schema.go", "Header"), func(name string) bool { return name == HeaderFinal || name == HeaderRequeued })},
		{"required headers of metrics", metrics.Headers.Required, nil},
		{"required headers of a dead letter", sorted(dead.Headers.Required...), slices.Sorted(maps.Keys(dead.Headers.Properties))},
		{"values of " + HeaderFinal, metrics.Headers.Properties[HeaderFinal].Enum, []string{"true"}},
		{"values of " + HeaderStage, sorted(dead.Headers.Properties[HeaderStage].Enum...), constants(t, "schema.go", "Stage")},
	}
	for _, list := range lists {
		t.Run(list.name, func(t *testing.T) {
			if !slices.Equal(list.got, list.want) {
				t.Errorf("the page has %q; the code has %q", list.got, list.want)
			}
		})
	}
	if PayloadReserve != 16_384 || !strings.Contains(metrics.Description, "16,384 bytes") {
		t.Errorf("the description of metrics does not say that %d bytes are reserved", PayloadReserve)
	}
}

func sorted(names ...string) []string {
	return slices.Sorted(slices.Values(names))
}

func TestAsyncAPIExamples(t *testing.T) {
	var page asyncAPI
	loadAsyncAPI(t, &page)
	schema := eventSchema(t)
	metrics := page.Components.Messages["metrics"]
	if metrics.Payload["$ref"] != "event.schema.json" || len(metrics.Examples) == 0 {
		t.Fatalf("the payload is %q with %d examples", metrics.Payload, len(metrics.Examples))
	}
	for _, example := range metrics.Examples {
		line, err := json.Marshal(example.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(schema, string(line)); err != nil {
			t.Error(err)
		}
		id := example.Headers[HeaderMsgID]
		producer, _, _ := strings.Cut(id, ":")
		if !IdentityOf(producer, id, "", 1).Numbered() || ValidateProducer(producer) != nil {
			t.Errorf("the example's id %q is not of the form that it shows", id)
		}
	}
}

// TestAsyncAPIReferences: a YAML parser does not follow a $ref, and so misses one that leads nowhere.
func TestAsyncAPIReferences(t *testing.T) {
	var page map[string]any
	loadAsyncAPI(t, &page)
	count := 0
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			for _, v := range value {
				walk(v)
			}
			if ref, ok := value["$ref"].(string); ok {
				count++
				checkReference(t, page, ref)
			}
		}
	}
	walk(page)
	if count < 6 {
		t.Errorf("only %d references found", count)
	}
}

func checkReference(t *testing.T, page map[string]any, ref string) {
	t.Helper()
	path, local := strings.CutPrefix(ref, "#/")
	if !local {
		if _, err := os.Stat(ref); err != nil {
			t.Errorf("$ref: %v", err)
		}
		return
	}
	var at any = page
	for step := range strings.SplitSeq(path, "/") {
		inside, _ := at.(map[string]any)
		if at = inside[step]; at == nil {
			t.Errorf("$ref %s leads nowhere", ref)
			return
		}
	}
}
