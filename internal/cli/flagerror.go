package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// FlagError says in words what pflag found wrong with a command line.
func FlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	return fmt.Errorf("--%s: %w", flag.Name, plain(flag, invalid.GetValue(), invalid.Unwrap()))
}

// plain puts what a flag says about a value into words. Our own types say it themselves; those of pflag speak of the
// functions that failed.
func plain(flag *pflag.Flag, value string, err error) error {
	switch flag.Value.Type() {
	case "int", "int64":
		return fmt.Errorf("%q is no whole number", value)
	case "duration":
		return fmt.Errorf("%q is no length of time like 500ms, 10s or 5m", value)
	case "bool":
		return fmt.Errorf("%q is neither true nor false", value)
	}
	return err
}
