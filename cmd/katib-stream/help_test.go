package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// everyCommand calls f with each command, the root too.
func everyCommand(f func(*cobra.Command)) {
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		f(command)
		for _, child := range command.Commands() {
			visit(child)
		}
	}
	visit(newRootCommand(&app{}))
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	everyCommand(func(command *cobra.Command) {
		path := strings.Fields(command.CommandPath())[1:]
		got := katibStream(t, append(path, "--help")...)
		if got.status != statusOK || got.stderr != "" || !strings.Contains(got.stdout, "Examples:\n  ") {
			t.Errorf("%s --help: want examples, got %v", command.CommandPath(), got)
		}
		if again := katibStream(t, append([]string{"help"}, path...)...); again.stdout != got.stdout {
			t.Errorf("help %q says\n%s\nand --help says\n%s", path, again.stdout, got.stdout)
		}
		if command.Short == "" || strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s has the summary %q", command.CommandPath(), command.Short)
		}
		for _, flags := range []*pflag.FlagSet{command.Flags(), command.PersistentFlags()} {
			flags.VisitAll(func(flag *pflag.Flag) {
				if flag.Name != "help" && flag.Name != "version" && !strings.Contains(flag.Usage, " [$KATIB_STREAM_") {
					t.Errorf("%s --%s does not say which variable sets it: %s", command.CommandPath(), flag.Name, flag.Usage)
				}
			})
		}
	})
}

func TestEveryCommandThatPrintsHasJSON(t *testing.T) {
	t.Parallel()
	quiet := map[string]bool{"db-manager": true, "consumer": true, "exec": true, "help": true} // two only log, exec prints what its command does
	for _, command := range newRootCommand(&app{}).Commands() {
		flag := command.Flags().ShorthandLookup("o")
		if has := flag != nil && flag.Name == "output"; !has && !quiet[command.Name()] && !command.HasSubCommands() {
			t.Errorf("%s has no -o", command.Name())
		}
	}
}

func TestWithoutACommand(t *testing.T) {
	t.Parallel()
	got := katibStream(t)
	if got.status != statusOK || got.stderr != "" {
		t.Errorf("want help, got %v", got)
	}
	for _, command := range commands() {
		if name := command(&app{}).Name(); !strings.Contains(got.stdout, "\n  "+name+" ") {
			t.Errorf("help does not list %s:\n%s", name, got.stdout)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args string
		env  map[string]string
		says string
	}{
		"no such command":            {args: "nonsense", says: `there is no command "nonsense"; see ` + "`katib-stream --help`"},
		"nearly a command":           {args: "pubish", says: `there is no command "pubish"; did you mean publish?`},
		"nearly two commands":        {args: "trial", says: "did you mean tail or trials?"},
		"help for no command":        {args: "help nonsense", says: `there is no command "nonsense"`},
		"completion of no shell":     {args: "completion csh", says: `there is no command "csh"`},
		"completion with a rest":     {args: "completion bash x", says: `it takes no arguments, but was given "x"`},
		"an unknown flag":            {args: "trials --nonsense", says: "trials: unknown flag: --nonsense; see `katib-stream trials --help`"},
		"an unknown flag at the top": {args: "--nonsense", says: "unknown flag: --nonsense; see `katib-stream --help`"},
		"an argument too many":       {args: "trials x", says: `it takes no arguments, but was given "x"`},
		"a second trial":             {args: "tail a b", says: `it takes one trial, but was given "b" as well`},
		"no trial to tail":           {args: "tail", says: "tail: no trial is given"},
		"a pair for the trial":       {args: "publish loss=0.5", says: "publish: the first argument is \"loss=0.5\" where the trial's name should be"},
		"a pair without a value":     {args: "publish t loss=", says: "publish: \"loss=\" has no value"},
		"no trial to report":         {args: "publish", says: "publish: no trial is given"},
		"a broken number":            {args: "publish a loss=1 --step one", says: `publish: --step: "one" is no whole number`},
		"a broken duration":          {args: "trials --timeout 5", says: `--timeout: "5" is no length of time like 500ms, 10s or 5m`},
		"a broken switch":            {args: "tail a --no-follow=x", says: `--no-follow: "x" is neither true nor false`},
		"a broken size":              {args: "consumer --batch-bytes x", says: `--batch-bytes: "x" is no size like 512MiB`},
		"a broken format":            {args: "version -o yaml", says: `--output: "yaml" is neither text nor json`},
		"a broken variable":          {args: "trials", env: map[string]string{"KATIB_STREAM_TIMEOUT": "x"}, says: `environment variable KATIB_STREAM_TIMEOUT: "x" is no length of time`},
		"a variable of the root":     {args: "trials", env: map[string]string{"KATIB_STREAM_LOG_LEVEL": "loud"}, says: `--log-level is "loud"`},
		"a log format":               {args: "version --log-format xml", says: `--log-format is "xml", neither text nor json`},
		"no time-out":                {args: "trials --timeout 0s", says: "--timeout is 0s, not above 0"},
		"a broken server":            {args: "trials --server http://me:" + secret + "@h", says: "server http://***@h is no NATS URL"},
		"a context that is not":      {args: "trials --context none", says: `read the nats CLI's context "none"`},
		"a namespace":                {args: "trials --namespace A", says: `the namespace "A" is no Kubernetes name`},
		"a trial's name":             {args: "tail A", says: `the trial name "A" is no Kubernetes name`},
		"lines":                      {args: "tail a -n -1", says: "--lines is -1, less than 0"},
		"since":                      {args: "tail a --since yesterday", says: `--since is "yesterday", neither all nor a time like 10m`},
		"since the future":           {args: "tail a --since -1m", says: `--since is "-1m"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStreamWith(t, tt.env, "", strings.Fields(tt.args)...), statusUsage, tt.says)
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, begins := range map[string]string{"bash": "# bash completion", "zsh": "#compdef katib-stream", "fish": "# fish completion", "powershell": "# powershell"} {
		got := katibStream(t, "completion", shell)
		if got.status != statusOK || got.stderr != "" || !strings.HasPrefix(got.stdout, begins) {
			t.Errorf("%s: %v", shell, got)
		}
		if shell != "bash" {
			continue
		}
		check := exec.CommandContext(t.Context(), "bash", "-n")
		check.Stdin = strings.NewReader(got.stdout)
		if text, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash does not take its script: %v\n%s", err, text)
		}
	}
	if got := katibStream(t, "__complete", "tr"); !strings.Contains(got.stdout, "trials\tList the trials") {
		t.Errorf("completing tr: %v", got)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := katibStream(t, "version"); got.status != statusOK || !strings.HasPrefix(got.stdout, "katib-stream devel (go") {
		t.Errorf("version: %v", got)
	}
	var parsed struct{ Version, Go, Platform string }
	got := katibStreamWith(t, map[string]string{"KATIB_STREAM_OUTPUT": "json"}, "", "version")
	if err := json.Unmarshal([]byte(got.stdout), &parsed); err != nil || parsed.Version != "devel" || parsed.Go == "" || parsed.Platform == "" {
		t.Errorf("version as JSON: %v, %v", err, got)
	}
}
