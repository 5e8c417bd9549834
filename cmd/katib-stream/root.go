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
	// limitMemory sets the process's soft limit, in bytes; nil where others live in the process.
	limitMemory func(int64)
	logLevel    string
}

// commands are all there are; help sorts them.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		newUpCommand,
		newConsumerCommand,
		newDBManagerCommand,
		newPublishCommand,
		newExecCommand,
		newTrialsCommand,
		newTailCommand,
		newFlushCommand,
		newStatusCommand,
		newDeadLettersCommand,
		newSpoolCommand,
		newMigrateCommand,
		newDoctorCommand,
		newDemoCommand,
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
		Version:       version,             // katib-stream --version
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          helpOrUnknown,
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{cli.FlagError(err)} })
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "text", "how to write the log to standard error: text or json")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "info", "what to log: debug, info, warn or error, and what is graver")
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(a))
	}
	addCobrasOwn(root)
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

// addCobrasOwn adds the commands that cobra would add later, and gives them the manners of ours.
func addCobrasOwn(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Short = "Explain a command"
			command.Long = "Explain a command, as `katib-stream COMMAND --help` does."
			command.Example = "  katib-stream help publish"
			command.RunE, command.Run = help, nil
		case "completion":
			command.Short = "Print a script that completes katib-stream's commands and flags in your shell"
			command.Long = command.Short + "; the help of each shell's command says where to put it."
			command.Example = "  source <(katib-stream completion bash)"
			command.Args, command.RunE = cobra.ArbitraryArgs, helpOrUnknown
			for _, shell := range command.Commands() {
				shell.Short = "Print the script for " + shell.Name()
				shell.Example = "  katib-stream completion " + shell.Name()
				shell.Args = noArguments
			}
		}
	}
}

func help(command *cobra.Command, args []string) error {
	found, rest, err := command.Root().Find(args)
	if err != nil {
		return usageError{err}
	}
	if len(rest) > 0 {
		return unknownCommand(found, rest[0])
	}
	found.InitDefaultHelpFlag()
	found.InitDefaultVersionFlag()
	return found.Help()
}

// helpOrUnknown is what a command does that only has commands under it.
func helpOrUnknown(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return command.Help()
	}
	return unknownCommand(command, args[0])
}

func unknownCommand(parent *cobra.Command, name string) error {
	if near := parent.SuggestionsFor(name); len(near) > 0 {
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

// noArguments is for commands that take only flags.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("it takes no arguments, but was given %q", args[0])
	}
	return nil
}

// aTrial is for commands whose first argument is a trial.
func aTrial(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("no trial is given")
	}
	return nil
}

// onlyATrial is for commands whose one argument is a trial.
func onlyATrial(command *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("it takes one trial, but was given %q as well", args[1])
	}
	return aTrial(command, args)
}

// changed says whether the command line or the environment sets a flag.
func changed(flags *pflag.FlagSet, name string) bool {
	flag := flags.Lookup(name)
	return flag != nil && flag.Changed
}
