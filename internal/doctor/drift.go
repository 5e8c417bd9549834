package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// rule says what it means that a field differs from schema's.
type rule struct {
	status Status // "" means that it does not matter
	why    string
	safe   bool // going back to schema's value loses nothing, and the server lets it be changed
}

// drift is a field that differs.
type drift struct {
	field      string
	want, have any
	rule
}

func (d drift) String() string {
	return fmt.Sprintf("%s is %s, want %s: %s", d.field, d.literal(d.have), d.literal(d.want), d.why)
}

// inNanoseconds are fields that are lengths of time.
var inNanoseconds = []string{"max_age", "duplicate_window", "subject_delete_marker_ttl", "inactive_threshold", "ack_wait", "max_expires", "priority_timeout"}

func (d drift) literal(value any) string {
	if value == nil {
		return "not set"
	}
	if number, ok := value.(float64); ok && slices.Contains(inNanoseconds, d.field) {
		return time.Duration(number).String()
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // subjects end in ">"
	if err := encoder.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(text.String())
}

// drifts compares two configurations field by field, as JetStream's API names them. What no rule knows is worth a look.
func drifts(want, have map[string]any, rules map[string]rule) []drift {
	fields := slices.Sorted(maps.Keys(want))
	for field := range maps.Keys(have) {
		if _, both := want[field]; !both {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	var found []drift
	for _, field := range fields {
		r, known := rules[field]
		if !known {
			r = rule{status: Warn, why: "nothing here knows what that does"}
		}
		w, h := settled(want[field]), settled(have[field])
		if r.status == "" || reflect.DeepEqual(w, h) {
			continue
		}
		found = append(found, drift{field, w, h, r})
	}
	return found
}

// settled makes one of the ways in which a configuration can leave something out.
func settled(value any) any {
	switch v := value.(type) {
	case bool:
		if !v {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	}
	return value
}

// fields is a configuration as JetStream's API has it.
func fields(config any) (map[string]any, error) {
	text, isText := config.([]byte)
	if !isText {
		var err error
		if text, err = json.Marshal(config); err != nil {
			return nil, fmt.Errorf("write a configuration as JSON: %w", err)
		}
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read a configuration: %w", err)
	}
	return all, nil
}

// brought back is the configuration with the fields as they should be, in its own type.
func broughtBack[T any](config T, want map[string]any, names []string) (T, error) {
	all, err := fields(config)
	if err != nil {
		return config, err
	}
	for _, name := range names {
		delete(all, name)
		if value, set := want[name]; set {
			all[name] = value
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return config, fmt.Errorf("write a configuration as JSON: %w", err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil {
		return config, fmt.Errorf("read a configuration: %w", err)
	}
	return back, nil
}

// safely lists the fields that can go back without a loss.
func safely(found []drift) []string {
	var names []string
	for _, d := range found {
		if d.safe {
			names = append(names, d.field)
		}
	}
	return names
}
