package katibdb

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

var now = time.Unix(1_800_000_000, 0)

// msg reads "namespace/trial/source:number@sequence", and "!" behind it for a dead letter, "." for a final message.
func msg(t *testing.T, text string) Message {
	t.Helper()
	m := Message{Epoch: "e", Dead: strings.HasSuffix(text, "!")}
	m.Final = strings.HasSuffix(text, ".")
	parts := strings.FieldsFunc(strings.TrimRight(text, "!."), func(r rune) bool { return strings.ContainsRune("/:@", r) })
	if len(parts) != 5 {
		t.Fatalf("%q is no message", text)
	}
	m.Subject = schema.Subject{Namespace: parts[0], Trial: parts[1], Producer: parts[2]}
	m.Identity.Source = parts[2]
	if _, err := fmt.Sscan(parts[3]+" "+parts[4], &m.Identity.Number, &m.Sequence); err != nil {
		t.Fatal(err)
	}
	m.Events = []schema.Event{{Metrics: []schema.Metric{{Name: "loss", Value: "1"}}}}
	return m
}

func producerOf(p producerRow, namespace, trial, producer string) producerRow {
	p.producerKey = producerKey{trial, namespace, producer}
	return p
}

func stateOf(trials []trialRow, producers []producerRow, receipts ...receiptKey) state {
	s := state{trials: map[string]trialRow{}, producers: map[producerKey]producerRow{}, receipts: map[receiptKey]bool{}}
	for _, t := range trials {
		s.trials[t.name] = t
	}
	for _, p := range producers {
		s.producers[p.producerKey] = p
	}
	for _, r := range receipts {
		s.receipts[r] = true
	}
	return s
}

func TestFilter(t *testing.T) {
	bound := trialRow{name: "t", namespace: "n", seenAt: now.Unix()}
	gone := trialRow{name: "t", deletion: Deletion{At: now, Epoch: "e", Sequence: 10}}
	at5 := producerOf(producerRow{watermark: 5, receipts: 1, messages: 6}, "n", "t", "p")
	receipt8 := receiptKey{at5.producerKey, 8}
	for _, c := range []struct {
		name  string
		known state
		batch string // messages
		want  string // outcomes, and behind a blank the sequences of the rows in their order
	}{
		{"in order", stateOf([]trialRow{bound}, nil), "n/t/p:1@1 n/t/p:2@2", "PP 1 2"},
		{"shuffled", stateOf([]trialRow{bound}, nil), "n/t/p:3@1 n/t/p:1@2 n/t/p:2@3", "PPP 2 3 1"},
		{"by producer", stateOf([]trialRow{bound}, nil), "n/t/q:1@1 n/t/p:1@2 n/t/q:2@3", "PPP 2 1 3"},
		{"without numbers by sequence", stateOf([]trialRow{bound}, nil), "n/t/*b:0@9 n/t/*a:0@10 n/t/*c:0@8", "PPP 8 9 10"},
		{"twice in the batch", stateOf([]trialRow{bound}, nil), "n/t/p:1@1 n/t/p:1@2 n/t/*a:0@3 n/t/*a:0@4", "PDPD 3 1"},
		{"at the watermark", stateOf([]trialRow{bound}, []producerRow{at5}), "n/t/p:5@1 n/t/p:6@2", "DP 2"},
		{"receipt", stateOf([]trialRow{bound}, []producerRow{at5}, receipt8), "n/t/p:8@1 n/t/p:9@2", "DP 2"},
		{"another trial, same producer", stateOf([]trialRow{bound, {name: "u", namespace: "n"}}, []producerRow{at5}), "n/u/p:5@1", "P 1"},
		{"another namespace, same producer", stateOf([]trialRow{bound}, []producerRow{at5}), "m/t/p:5@1 _/t/p:5@2", "FP 2"},
		{"the first stored binds", stateOf([]trialRow{{name: "t"}}, nil), "a/t/p:1@2 z/t/p:1@1", "FP 1"},
		{"of equal sequences the first in the batch", stateOf([]trialRow{{name: "t"}}, nil), "z/t/p:1@1 a/t/p:1@1", "PF 1"},
		{"unknown does not bind", stateOf([]trialRow{{name: "t"}}, nil), "_/t/p:1@1 z/t/p:1@2", "PP 1 2"},
		{"dead does not bind", stateOf([]trialRow{{name: "t"}}, nil), "a/t/p:1@1! z/t/p:1@2", "PP 2"},
		{"a duplicate does not bind", stateOf([]trialRow{{name: "t"}}, []producerRow{at5}), "n/t/p:5@1 z/t/p:1@2", "DP 2"},
		{"a deleted one does not bind", stateOf([]trialRow{gone}, nil), "a/t/p:1@10 z/t/p:1@11", "XP 11"},
		{"foreign and dead is recorded", stateOf([]trialRow{bound}, nil), "m/t/p:1@1!", "P"},
		{"deleted by sequence", stateOf([]trialRow{gone}, nil), "n/t/p:1@10 n/t/q:1@11 n/t/*a:0@10 n/t/*b:0@11", "XPXP 11 11"},
		{"a producer from before goes on", stateOf([]trialRow{gone}, nil), "n/t/p:1@10 n/t/p:2@11", "XX"},
		{"deleted producer", stateOf([]trialRow{gone}, []producerRow{producerOf(producerRow{deleted: true}, "n", "t", "p")}), "n/t/p:7@99 n/t/q:7@99", "XP 99"},
		{"deleted and dead", stateOf([]trialRow{gone}, nil), "n/t/p:1@10!", "X"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var batch []Message
			for text := range strings.FieldsSeq(c.batch) {
				batch = append(batch, msg(t, text))
			}
			p := filter(batch, c.known, now)
			var got strings.Builder
			for _, o := range p.outcomes {
				got.WriteByte("PDXF"[o])
			}
			for _, m := range p.rows {
				fmt.Fprintf(&got, " %d", m.Sequence)
			}
			if got.String() != c.want {
				t.Errorf("%s, want %s", &got, c.want)
			}
		})
	}
}

func TestFilterAccounts(t *testing.T) {
	before := producerOf(producerRow{watermark: 5, receipts: 1, messages: 6, events: 6}, "n", "t", "p")
	known := stateOf([]trialRow{{name: "t", namespace: "n"}}, []producerRow{before})
	batch := []Message{msg(t, "n/t/p:6@1"), msg(t, "n/t/p:7@2!"), msg(t, "n/t/p:10@3."), msg(t, "n/t/p:12@4!")}
	p := filter(batch, known, now)
	want := before
	want.watermark, want.receipts, want.final, want.messages, want.events, want.dead, want.moved = 7, 3, 10, 10, 8, 2, true
	if len(p.producers) != 1 || *p.producers[0] != want {
		t.Errorf("producers %+v, want %+v", *p.producers[0], want)
	}
	receipts := []receiptRow{
		{receiptKey{before.producerKey, 7}, true, "e", 2}, // dead: kept below the watermark as well
		{receiptKey{before.producerKey, 10}, false, "e", 3},
		{receiptKey{before.producerKey, 12}, true, "e", 4},
	}
	if !reflect.DeepEqual(p.receipts, receipts) {
		t.Errorf("receipts %+v, want %+v", p.receipts, receipts)
	}
	if known.producers[before.producerKey] != before {
		t.Error("the filter changed what it was given")
	}
}

func TestFilterTouchesTrials(t *testing.T) {
	hour := int64(seenEvery / time.Second)
	for _, c := range []struct {
		name string
		row  trialRow
		text string
		want []trialRow
	}{
		{"new", trialRow{name: "t"}, "n/t/p:1@1", []trialRow{{name: "t", namespace: "n", seenAt: now.Unix()}}},
		{"seen just now", trialRow{name: "t", namespace: "n", seenAt: now.Unix() - hour}, "n/t/p:1@1", nil},
		{"seen long ago", trialRow{name: "t", namespace: "n", seenAt: now.Unix() - hour - 1}, "n/t/p:1@1", []trialRow{{name: "t", namespace: "n", seenAt: now.Unix()}}},
		{"foreign", trialRow{name: "t", namespace: "n"}, "m/t/p:1@1", nil},
		{"dead", trialRow{name: "t"}, "m/t/p:1@1!", nil},
		{"unknown namespace", trialRow{name: "t"}, "_/t/p:1@1", []trialRow{{name: "t", seenAt: now.Unix()}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := filter([]Message{msg(t, c.text)}, stateOf([]trialRow{c.row}, nil), now)
			if !reflect.DeepEqual(p.trials, c.want) {
				t.Errorf("trials %+v, want %+v", p.trials, c.want)
			}
		})
	}
}
