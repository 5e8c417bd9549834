package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestBindEnv(t *testing.T) {
	tests := map[string]struct {
		args []string
		env  map[string]string
		want string // server, context, workers
		err  string
	}{
		"defaults":                        {want: " , ,4"},
		"a flag":                          {args: []string{"--workers=7"}, want: " , ,7"},
		"the environment":                 {env: map[string]string{"KATIB_STREAM_WORKERS": "8"}, want: " , ,8"},
		"a flag wins":                     {args: []string{"--workers=7"}, env: map[string]string{"KATIB_STREAM_WORKERS": "8"}, want: " , ,7"},
		"a flag with its default wins":    {args: []string{"--workers=4"}, env: map[string]string{"KATIB_STREAM_WORKERS": "8"}, want: " , ,4"},
		"a flag hides a bad variable":     {args: []string{"--workers=7"}, env: map[string]string{"KATIB_STREAM_WORKERS": "x"}, want: " , ,7"},
		"an empty variable":               {env: map[string]string{"KATIB_STREAM_WORKERS": ""}, want: " , ,4"},
		"a bad variable is named":         {env: map[string]string{"KATIB_STREAM_WORKERS": "many"}, err: `environment variable KATIB_STREAM_WORKERS: "many" is no whole number`},
		"another name":                    {env: map[string]string{"NATS_URL": "n"}, want: "n, ,4"},
		"the first name wins":             {env: map[string]string{"NATS_URL": "n", "SERVERS": "s"}, want: "s, ,4"},
		"the usual name is replaced":      {env: map[string]string{"KATIB_STREAM_SERVER": "x"}, want: " , ,4"},
		"both of a group":                 {env: map[string]string{"NATS_URL": "n", "KATIB_STREAM_CONTEXT": "c"}, want: "n,c,4"},
		"a flag silences its group's env": {args: []string{"--context=f"}, env: map[string]string{"NATS_URL": "n"}, want: " ,f,4"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			server := flags.String("server", " ", "")
			context := flags.String("context", " ", "")
			workers := flags.Int("workers", 4, "")
			EnvNames(flags, "server", "SERVERS", "NATS_URL")
			OneOf(flags, "server", "context")
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			err := BindEnv(flags, func(name string) string { return tt.env[name] })
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("error %v; want %q", err, tt.err)
				}
				return
			}
			if got := fmt.Sprintf("%s,%s,%d", *server, *context, *workers); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestDescribeEnv(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Bool("help", false, "help")
	flags.Int("batch-rows", 0, "rows of a batch")
	flags.String("server", "", "servers")
	EnvNames(flags, "server", "SERVERS", "NATS_URL")
	DescribeEnv(flags)
	DescribeEnv(flags) // a flag of a parent is met again under each of its children
	for name, want := range map[string]string{
		"help":       "help",
		"batch-rows": "rows of a batch [$KATIB_STREAM_BATCH_ROWS]",
		"server":     "servers [$SERVERS, $NATS_URL]",
	} {
		if got := flags.Lookup(name).Usage; got != want {
			t.Errorf("--%s: %q, want %q", name, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	tests := map[string]struct {
		text  string
		bytes int64
		back  string // "" when it is refused
	}{
		"plain":       {"1000", 1000, "1000"},
		"zero":        {"0", 0, "0"},
		"binary unit": {"10GiB", 10 << 30, "10GiB"},
		"short unit":  {"64M", 64 << 20, "64MiB"},
		"lower case":  {"2 mib", 2 << 20, "2MiB"},
		"larger unit": {"2048KiB", 2 << 20, "2MiB"},
		"largest":     {"8388607TiB", 8388607 << 40, "8388607TiB"},
		"too large":   {"8388608TiB", 0, ""},
		"negative":    {"-1", 0, ""},
		"a fraction":  {"1.5GiB", 0, ""},
		"no number":   {"GiB", 0, ""},
		"no unit":     {"10 apples", 0, ""},
		"empty":       {"", 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var size Size
			err := size.Set(tt.text)
			if (err != nil) != (tt.back == "") {
				t.Fatalf("error %v", err)
			}
			if err == nil && (int64(size) != tt.bytes || size.String() != tt.back) {
				t.Errorf("%d, %q; want %d, %q", size, size.String(), tt.bytes, tt.back)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	var format Format
	format.AddFlag(flags)
	if format != Text {
		t.Errorf("default %q", format)
	}
	if err := flags.Parse([]string{"-o", "json"}); err != nil || format != JSON {
		t.Errorf("-o json: %q, %v", format, err)
	}
	if err := flags.Parse([]string{"-o", "yaml"}); err == nil {
		t.Error("-o yaml was taken")
	}
}

func TestWriteTable(t *testing.T) {
	var out bytes.Buffer
	if err := WriteTable(&out, []string{"TRIAL", "MESSAGES"}, [][]string{{"a", "1"}, {"long-name", "\x1b[2Jé"}}); err != nil {
		t.Fatal(err)
	}
	want := "TRIAL      MESSAGES\na          1\nlong-name  \"\\x1b[2Jé\"\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	tests := map[string][2]string{
		"plain":          {"loss=0.5 ü 日本", "loss=0.5 ü 日本"},
		"an escape":      {"\x1b[31mred", `"\x1b[31mred"`},
		"a newline":      {"a\nb", `"a\nb"`},
		"broken UTF-8":   {"\xff", `"\xff"`},
		"right to left":  {"a\u202eb", `"a\u202eb"`},
		"a C1 character": {"a\u009bb", `"a\u009bb"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Printable(tt[0]); got != tt[1] {
				t.Errorf("got %s, want %s", got, tt[1])
			}
		})
	}
}
