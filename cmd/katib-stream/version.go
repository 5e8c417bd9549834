package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
)

func newVersionCommand(a *app) *cobra.Command {
	var output cli.Format
	command := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version, that of Go, and the platform it was built for.",
		Example: "  katib-stream version -o json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if output == cli.JSON {
				return cli.WriteJSON(a.stdout, map[string]string{"version": version, "go": runtime.Version(), "platform": platform})
			}
			_, err := fmt.Fprintf(a.stdout, "katib-stream %s (%s, %s)\n", version, runtime.Version(), platform)
			return err
		},
	}
	output.AddFlag(command.Flags())
	return command
}
