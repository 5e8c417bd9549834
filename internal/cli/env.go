// Package cli is what the commands share on their way from and to the terminal: flags that the environment can set,
// sizes, tables, JSON, and text that is safe to print.
package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every environment variable that sets a flag.
const EnvPrefix = "KATIB_STREAM_"

const (
	annotationEnv   = "katib-stream/env"
	annotationOneOf = "katib-stream/one-of"
)

// EnvNames gives a flag other environment variables than KATIB_STREAM_<FLAG>; the first that is set counts.
func EnvNames(flags *pflag.FlagSet, flag string, names ...string) {
	annotate(flags, flag, annotationEnv, names)
}

// OneOf makes the environment silent about all of the flags as soon as one of them stands on the command line, for flags
// that say the same thing in different ways.
func OneOf(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags, name, annotationOneOf, names)
	}
}

func annotate(flags *pflag.FlagSet, flag, key string, values []string) {
	if err := flags.SetAnnotation(flag, key, values); err != nil {
		panic(err) // there is no such flag: a mistake in the code
	}
}

// DescribeEnv adds to the usage text of every flag which environment variables set it.
func DescribeEnv(flags *pflag.FlagSet) {
	flags.VisitAll(func(flag *pflag.Flag) {
		names := envNames(flag)
		if len(names) == 0 {
			return
		}
		note := " [$" + strings.Join(names, ", $") + "]"
		if !strings.HasSuffix(flag.Usage, note) {
			flag.Usage += note
		}
	})
}

// BindEnv sets every flag that is not on the command line from the environment. An empty variable counts as not set. The
// error names the variable.
func BindEnv(flags *pflag.FlagSet, getenv func(string) string) error {
	given := map[string]bool{}
	flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	var failed error
	flags.VisitAll(func(flag *pflag.Flag) {
		if failed != nil || given[flag.Name] || anyOf(given, flag.Annotations[annotationOneOf]) {
			return
		}
		for _, name := range envNames(flag) {
			value := getenv(name)
			if value == "" {
				continue
			}
			if err := flag.Value.Set(value); err != nil {
				failed = fmt.Errorf("environment variable %s: %w", name, plain(flag, value, err))
			}
			flag.Changed = true
			return
		}
	})
	return failed
}

func anyOf(given map[string]bool, names []string) bool {
	for _, name := range names {
		if given[name] {
			return true
		}
	}
	return false
}

func envNames(flag *pflag.Flag) []string {
	if flag.Name == "help" || flag.Name == "version" {
		return nil
	}
	if names := flag.Annotations[annotationEnv]; names != nil {
		return names
	}
	return []string{EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))}
}
