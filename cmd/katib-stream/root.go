package main

import (
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
)

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// log writes to stderr as --log-format and --log-level say. It is there once a command runs.
	log       *slog.Logger
	logFormat string
	logLevel  string
}

// commands are all there are; help sorts them.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		newUpCommand,
		newConsumerCommand,
		newPublishCommand,
		newTrialsCommand,
		newTailCommand,
		newMigrateCommand,
		newVersionCommand,
	}
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "katib-stream",
		Short: "Metrics of Katib Trials, as a stream that loses nothing",
		Long: `Metrics of Katib Trials, as a stream that loses nothing: training code reports through a producer,
NATS JetStream keeps what was reported, and consumers take it to Katib DB, each event exactly once.

Every flag can be set in the environment as well; a flag on the command line wins.`,
		Example: `  katib-stream up                                   everything on this machine
  katib-stream publish my-trial loss=0.5            report by hand
  katib-stream tail my-trial                        watch a trial`,
		Args:          cobra.ArbitraryArgs, // RunE tells a wrong command
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Help()
			}
			return unknownCommand(command, args[0])
		},
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			if err := cli.BindEnv(command.Flags(), a.getenv); err != nil {
				return usageError{err}
			}
			return a.startLog()
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "text", "how to write the log to standard error: text or json")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "info", "what to log: debug, info, warn or error, and what is graver")
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(a))
	}
	describe(root)
	return root
}

func describe(command *cobra.Command) {
	cli.DescribeEnv(command.PersistentFlags())
	cli.DescribeEnv(command.Flags())
	for _, child := range command.Commands() {
		describe(child)
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return usagef("there is no command %q; did you mean %s?", name, strings.Join(near, " or "))
	}
	return usagef("there is no command %q", name)
}

func (a *app) startLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return usagef("--log-level is %q, none of debug, info, warn and error", a.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		a.log = slog.New(slog.NewTextHandler(a.stderr, options))
	case "json":
		a.log = slog.New(slog.NewJSONHandler(a.stderr, options))
	default:
		return usagef("--log-format is %q, neither text nor json", a.logFormat)
	}
	return nil
}

// usage marks what a check of the arguments finds as a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// changed says whether the command line or the environment sets a flag.
func changed(flags *pflag.FlagSet, name string) bool {
	flag := flags.Lookup(name)
	return flag != nil && flag.Changed
}
