package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/spool"
)

func newSpoolCommand(a *app) *cobra.Command {
	command := &cobra.Command{
		Use:   "spool",
		Short: "Show and deliver what processes that died left in their spool",
		Long: `Show and deliver what processes that died left in their spool. Every producer that starts on the folder delivers it, too;
this is for a folder on which none does.`,
		Example: `  katib-stream spool ls /spool
  katib-stream spool send /spool`,
		Args: cobra.ArbitraryArgs, // RunE tells a wrong command
		RunE: helpOrUnknown,
	}
	command.AddCommand(newSpoolListCommand(a), newSpoolSendCommand(a))
	return command
}

// spoolFolder is the folder that a command is about: its argument, or else what the flag or the environment says.
type spoolFolder struct{ dir string }

func (f *spoolFolder) addFlag(flags *pflag.FlagSet) {
	flags.StringVar(&f.dir, "spool", "", "the `folder`, where no argument names it (default: katib-stream-spool-<uid> among temporary files)")
}

func (f *spoolFolder) take(args []string) error {
	switch {
	case len(args) > 1:
		return usagef("it takes one folder, but was given %q as well", args[1])
	case len(args) == 1:
		f.dir = args[0]
	case f.dir == "":
		f.dir = spool.DefaultDir()
	}
	return nil
}

// check says what is wrong with the folder before anything is done.
func (f *spoolFolder) check() error {
	info, err := os.Stat(f.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no folder %s; the producers' setting KATIB_STREAM_SPOOL says where theirs is", f.dir)
	case err != nil:
		return fmt.Errorf("look at the spool: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder; give the one that the file is in: %s", f.dir, filepath.Dir(f.dir))
	}
	return nil
}

type spoolListOptions struct {
	spoolFolder
	output cli.Format
}

func newSpoolListCommand(a *app) *cobra.Command {
	var o spoolListOptions
	command := &cobra.Command{
		Use:   "ls [FOLDER]",
		Short: "List the files of a spool, and what of them is not delivered",
		Long: `List the files of a spool: of which trial and producer they are, and how many events the stream has not acknowledged. A file
is live while the process that writes or delivers it lives; what is left behind the next start, or spool send, delivers; what
is aside holds something that can never be delivered, and nobody touches it.`,
		Example: `  katib-stream spool ls /spool
  katib-stream spool ls /spool -o json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return err
			}
			return a.listSpool(o)
		},
	}
	o.addFlag(command.Flags())
	o.output.AddFlag(command.Flags())
	return command
}
