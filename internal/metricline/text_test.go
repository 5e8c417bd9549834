package metricline

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// read gives what a reader finds in lines, an event a line: time, step and metrics as far as they are there; and how many
// lines could not be read.
func read(t testing.TB, cfg Config, text string) (events []string, unreadable int) {
	t.Helper()
	reader, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	splitter := NewSplitter(func(line []byte, _ bool) {
		found, bad := reader.Line(line)
		for _, event := range found {
			var parts []string
			if !event.Time.IsZero() {
				parts = append(parts, event.Time.UTC().Format(time.RFC3339Nano))
			}
			if event.Step != nil {
				parts = append(parts, fmt.Sprintf("step %d", *event.Step))
			}
			for _, metric := range event.Metrics {
				parts = append(parts, metric.Name+" "+metric.Value)
			}
			events = append(events, strings.Join(parts, ", "))
		}
		if bad {
			unreadable++
		}
	})
	_, _ = splitter.Write([]byte(text))
	splitter.Close()
	return events, unreadable
}

// check compares what is found with one event a line.
func check(t *testing.T, cfg Config, text, want string, unreadable int) {
	t.Helper()
	events, bad := read(t, cfg, text)
	if got := strings.Join(events, "\n"); got != want || bad != unreadable {
		t.Errorf("%q: %q and %d lines that could not be read; want %q and %d", text, got, bad, want, unreadable)
	}
}

// katibsFilter is the one of Katib's own tests.
const katibsFilter = `{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}`

// The cases of Katib's collector.
func TestKatibText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"two in a line": {
			text: "2024-03-04T17:55:08Z INFO     {metricName: accuracy, metricValue: 0.8078};{metricName: loss, metricValue: 0.5183}\n",
			want: "2024-03-04T17:55:08Z, accuracy 0.8078, loss 0.5183",
		},
		"a line each": {
			text: "2024-03-04T17:55:08Z INFO     {metricName: accuracy, metricValue: 100}\n2024-03-04T17:55:09Z INFO     {metricName: accuracy, metricValue: 888.333}\n",
			want: "2024-03-04T17:55:08Z, accuracy 100\n2024-03-04T17:55:09Z, accuracy 888.333",
		},
		"negative":                 {text: "2024-03-04T17:55:08Z INFO {metricName: accuracy, metricValue: -0.4759}", want: "2024-03-04T17:55:08Z, accuracy -0.4759"},
		"without a time":           {text: "{metricName: loss, metricValue: 0.3634}", want: "loss 0.3634"},
		"a time that is none":      {text: "invalid INFO {metricName: loss, metricValue: 0.3634}", want: "loss 0.3634"},
		"a name not asked for":     {text: "2024-03-04T17:55:08Z INFO {metricName: recall, metricValue: 0.1}"},
		"no digit before":          {text: "2024-03-04T17:55:08Z INFO {metricName: accuracy, metricValue: .333}"},
		"minus, no digit before":   {text: "2024-03-04T17:55:08Z INFO {metricName: accuracy, metricValue: -.333}"},
		"minus and a space":        {text: "2024-03-04T17:55:08Z INFO {metricName: accuracy, metricValue: - 345.333}"},
		"no digit after":           {text: "2024-03-04T17:55:08Z INFO {metricName: accuracy, metricValue: 888.}"},
		"the time has a fraction":  {text: "2024-03-04T17:55:08.123456789Z {metricName: loss, metricValue: 1}", want: "2024-03-04T17:55:08.123456789Z, loss 1"},
		"the time is in some zone": {text: "2024-03-04T17:55:08+02:00 {metricName: loss, metricValue: 1}", want: "2024-03-04T15:55:08Z, loss 1"},
		"the time has a tab after": {text: "2024-03-04T17:55:08Z\t{metricName: loss, metricValue: 1}", want: "loss 1"},
		"the time is all there is": {text: "2024-03-04T17:55:08Z"},
		"the time has no zone":     {text: "2024-03-04T17:55:08 {metricName: loss, metricValue: 1}", want: "loss 1"},
		"the day alone":            {text: "2024-03-04 17:55:08 {metricName: loss, metricValue: 1}", want: "loss 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, Config{Format: Text, Filters: []string{katibsFilter}, Metrics: []string{"accuracy", "loss"}}, tt.text, tt.want, 0)
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	loss := []string{"loss"}
	tests := map[string]struct {
		cfg        Config
		text, want string
		unreadable int
	}{
		"one":                       {Config{Metrics: loss}, "loss=0.5\n", "loss 0.5", 0},
		"spaces":                    {Config{Metrics: loss}, "epoch 1: loss  =\t0.5 s\n", "loss 0.5", 0},
		"plus":                      {Config{Metrics: loss}, "loss=+0.5", "loss +0.5", 0},
		"no digit before":           {Config{Metrics: loss}, "loss=.5", "loss .5", 0},
		"no digit after":            {Config{Metrics: loss}, "loss=5.", "loss 5", 0},
		"exponents":                 {Config{Metrics: loss}, "loss=1e5 loss=1.5E-07 loss=-2e+3", "loss 1e5\nloss 1.5E-07\nloss -2e+3", 0},
		"more than a float holds":   {Config{Metrics: loss}, "loss=1e999", "loss 1e999", 0},
		"as it is written":          {Config{Metrics: loss}, "loss=0.9900", "loss 0.9900", 0},
		"nan":                       {Config{Metrics: loss}, "loss=nan\nloss=NaN\nloss=inf", "", 3},
		"nan, with a filter for it": {Config{Metrics: loss, Filters: []string{`(\w+)=(\S+)`}}, "loss=nan\nloss=NaN\nloss=-inf\nloss=high", "loss nan\nloss NaN\nloss -inf", 1},
		"a sign alone":              {Config{Metrics: loss}, "loss=-", "", 1},
		"an exponent alone":         {Config{Metrics: loss}, "loss=e5", "", 1},
		"nothing":                   {Config{Metrics: loss}, "loss=", "", 1},
		"nan beside a number":       {Config{Metrics: []string{"loss", "accuracy"}}, "loss=nan accuracy=0.5", "accuracy 0.5", 1},
		"a colon":                   {Config{Metrics: loss}, "loss: 0.5\nloss : 0.5\n'loss': 0.5", "", 3},
		"a colon, and a filter":     {Config{Metrics: loss, Filters: []string{`(\w+): ([\d.]+)`}}, "acc: 0.1 - loss: 0.5", "loss 0.5", 0},
		"a word in a sentence":      {Config{Metrics: loss}, "the loss falls; see loss.py and gloss: x, loss:", "", 0},
		"part of a name":            {Config{Metrics: loss}, "val_loss=0.5 loss_scale=2 lossy=3", "", 0},
		"part of a name, colon":     {Config{Metrics: loss}, "val_loss: 0.5", "", 0},
		"behind a longer name":      {Config{Metrics: loss}, "val_loss=0.5 loss=0.25", "loss 0.25", 0},
		"a name of all characters":  {Config{Metrics: []string{"Train|loss-x_1"}}, "Train|loss-x_1=0.5", "Train|loss-x_1 0.5", 0},
		"names asked for":           {Config{Metrics: []string{"loss", "accuracy"}}, "accuracy=0.9 lr=0.1 loss=0.5", "accuracy 0.9, loss 0.5", 0},
		"all names":                 {Config{}, "accuracy=0.9 lr=0.1\noptimizer=adam\nplain", "accuracy 0.9, lr 0.1", 0},
		"twice in a line":           {Config{Metrics: loss}, "loss=1 loss=2 loss=2", "loss 1\nloss 2\nloss 2", 0},
		"twice beside another":      {Config{Metrics: []string{"a", "b"}}, "a=1 b=2 a=3", "a 1, b 2\na 3", 0},
		"several filters":           {Config{Metrics: []string{"a", "b"}, Filters: []string{`(\w+)=(\d+)`, `(\w+):(\d+)`}}, "b:2 a=1", "a 1, b 2", 0},
		"spaces in the groups":      {Config{Metrics: loss, Filters: []string{`(.*)=(.*)`}}, " loss = 0.5 ", "loss 0.5", 0},
		"a group that is not there": {Config{Metrics: loss, Filters: []string{`loss|(\w+)=(\d+)`}}, "loss", "", 0},
		"step":                      {Config{Metrics: loss, Step: "epoch"}, "epoch=3 loss=0.5\nloss=0.4 epoch=4\nloss=0.3", "step 3, loss 0.5\nstep 4, loss 0.4\nloss 0.3", 0},
		"step, wanted too":          {Config{Metrics: []string{"epoch"}, Step: "epoch"}, "epoch=3", "step 3, epoch 3", 0},
		"step that is none":         {Config{Metrics: loss, Step: "epoch"}, "epoch=0.5 loss=1\nepoch=-1 loss=2\nepoch= loss=3", "loss 1\nloss 2\nloss 3", 0},
		"a time":                    {Config{Metrics: loss}, "2024-03-04T17:55:08.5-01:00 loss=0.5", "2024-03-04T18:55:08.5Z, loss 0.5", 0},
		"CRLF":                      {Config{Metrics: loss}, "loss=1\r\nloss=2\r\n", "loss 1\nloss 2", 0},
		"a progress bar":            {Config{Metrics: loss}, "\rloss=1\rloss=2\rloss=3\n", "loss 1\nloss 2\nloss 3", 0},
		"no newline at the end":     {Config{Metrics: loss}, "loss=1\nloss=2", "loss 1\nloss 2", 0},
		"binary":                    {Config{Metrics: loss}, "\x00\xff\xfeloss=0.5\x00\n\x80\n", "loss 0.5", 0},
		"binary in a name":          {Config{Filters: []string{`(\S+)=(\d)`}}, "\xff=1", "", 0},
		"binary in a wanted name":   {Config{Metrics: []string{"\xff"}, Filters: []string{`(\S+)=(\d)`}}, "\xff=1", "", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Format = Text
			check(t, tt.cfg, tt.text, tt.want, tt.unreadable)
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg             Config
		text            string
		missing, others string
	}{
		"nothing is":            {Config{Metrics: []string{"loss"}}, "loss=1 lr=2", "", ""},
		"all are":               {Config{Metrics: []string{"loss", "accuracy"}}, "", "accuracy,loss", ""},
		"one had no number":     {Config{Metrics: []string{"loss"}}, "loss=nan", "loss", ""},
		"near ones come first":  {Config{Metrics: []string{"val_loss"}}, "a=1 loss=1 z=1\nb=2 Val-Loss=3", "val_loss", "Val-Loss,loss,a,b,z"},
		"the step is no metric": {Config{Metrics: []string{"loss"}, Step: "epoch"}, "epoch=1", "loss", ""},
		"all were to be kept":   {Config{}, "a=1", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Format = Text
			reader, err := New(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(tt.text) {
				reader.Line([]byte(line))
			}
			missing, others := reader.Missing()
			if strings.Join(missing, ",") != tt.missing || strings.Join(others, ",") != tt.others {
				t.Errorf("missing %q, others %q; want %q and %q", missing, others, tt.missing, tt.others)
			}
		})
	}
}

// What nobody asked for must not fill the memory, nor cost time for ever.
func TestOtherNamesAreBounded(t *testing.T) {
	t.Parallel()
	reader, err := New(Config{Format: Text, Metrics: []string{"loss"}})
	if err != nil {
		t.Fatal(err)
	}
	reader.Line([]byte(strings.Repeat("x", longestName+1) + "=1"))
	for i := range 20_000 {
		reader.Line(fmt.Appendf(nil, "gloss%d=1", i)) // has a wanted name in it
		reader.Line(fmt.Appendf(nil, "another name: %d", i))
	}
	if _, others := reader.Missing(); len(others) != mostNames || reader.seen.left > 100 {
		t.Errorf("%d names are kept, %d bytes are left", len(others), reader.seen.left)
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  Config
		says string
	}{
		"a format":             {Config{Format: "xml"}, `the format is "xml", neither text nor json`},
		"no expression":        {Config{Format: Text, Filters: []string{"("}}, `filter "(" is no regular expression: `},
		"one group":            {Config{Format: Text, Filters: []string{"(a)=1"}}, `filter "(a)=1" has too few groups, 1; it needs one for the name and one for the value`},
		"a second bad one":     {Config{Format: Text, Filters: []string{"(a)=(1)", "a"}}, `filter "a" has too few groups, 0`},
		"a filter beside JSON": {Config{Format: JSON, Filters: []string{"(a)=(1)"}}, "filters are for the text format"},
		"an empty name":        {Config{Format: Text, Metrics: []string{""}}, "a metric's name is empty"},
	}
	for name, tt := range tests {
		if _, err := New(tt.cfg); err == nil || !strings.HasPrefix(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %s", name, err, tt.says)
		}
	}
}
