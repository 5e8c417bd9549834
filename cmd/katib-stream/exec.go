package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/metricline"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

type execOptions struct {
	nats             natsconn.Config
	trial, namespace string
	lines            metricline.Config
	all              bool
	files            []string
	terminal         bool
	spool            string
	spoolBytes       cli.Size
	flushTimeout     time.Duration
	ranks            string
	undelivered      string
}

func newExecCommand(a *app) *cobra.Command {
	o := execOptions{spoolBytes: spool.DefaultBytes}
	command := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT ...]",
		Short: "Run a command, and report the metrics that it prints",
		Long: `Run a command, and report the metrics that it prints, as Katib's metrics collector would find them in its log. The
output passes through as it is, signals reach the command, and its exit status is that of exec; 128 and the signal's number
when a signal ended it, 127 when there is no such command, 126 when it cannot be run.

A metric is name=value in a line of standard output or standard error, or what a --filter finds; with --format json every
line is a JSON object. A line may begin with its time, in RFC 3339. With --file the lines of files that the command writes
are read instead; what a file holds before the command starts is not.

--metrics names what is kept, as the Experiment's objective does: Katib's UI misplaces metrics that the Experiment doesn't
know. Before it ends it waits until everything is in Katib DB. NATS being away fails nothing: what was found is in the spool
and the next start delivers it.`,
		Example: `  katib-stream exec --metrics loss,accuracy -- python train.py --lr 0.1
  katib-stream exec --trial my-trial --metrics loss --file metrics.log -- ./train
  katib-stream exec --metrics loss --format json --step-name epoch -- ./train`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no command is given; it comes after --")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			if !changed(command.Flags(), "log-level") {
				// The standard error is the command's: only what is wrong is said there.
				a.logLevel = "warn"
				if err := a.startLog(); err != nil {
					return err
				}
			}
			if err := o.check(); err != nil {
				return usageError{err}
			}
			return a.exec(command.Context(), o, args)
		},
	}
	o.addFlags(command.Flags())
	return command
}

func (o *execOptions) addFlags(flags *pflag.FlagSet) {
	// What comes after the command's name is the command's.
	flags.SetInterspersed(false)
	o.nats.Name = "katib-stream exec"
	flags.StringVar(&o.trial, "trial", "", "the trial's `name`; Katib sets it in a Trial's pod")
	cli.EnvNames(flags, "trial", "KATIB_STREAM_TRIAL", "KATIB_TRIAL_NAME")
	flags.StringVar(&o.namespace, "namespace", "", "the trial's `namespace` (default: the pod's own, outside of a pod \"default\")")
	flags.StringSliceVar(&o.lines.Metrics, "metrics", nil, "`names` of the metrics that are kept, separated by commas")
	flags.BoolVar(&o.all, "all-metrics", false, "keep every metric that is found")
	flags.StringVar(&o.lines.Format, "format", metricline.Text, "how the lines are read: text or json")
	flags.StringArrayVar(&o.lines.Filters, "filter", nil, "regular `expression` that finds a metric in text, with a group for the name and one for the value; can be repeated (default "+metricline.DefaultFilter+")")
	flags.StringVar(&o.lines.Step, "step-name", "", "`name` of a value that is the event's step, in lines that have it")
	flags.StringArrayVar(&o.files, "file", nil, "`path` of a file that the command writes lines to, to be read instead of its output; can be repeated")
	flags.BoolVarP(&o.terminal, "tty", "t", false, "give the command a terminal; its standard error is its standard output then")
	flags.StringVar(&o.spool, "spool", "", "`folder` where what was found survives a crash, or \"none\" (default: katib-stream-spool-<uid> among temporary files)")
	flags.Var(&o.spoolBytes, "spool-bytes", "size of all files in that folder, at most")
	flags.DurationVar(&o.flushTimeout, "flush-timeout", 20*time.Second, "how long to wait for delivery when the command has ended")
	flags.StringVar(&o.undelivered, "on-undelivered", "warn", "when something could not be delivered: warn, or fail with status 74 if the command succeeded")
	flags.StringVar(&o.ranks, "ranks", "0", "which processes of a distributed run report, where its launcher sets RANK or the like: 0 or all")
	addNATSFlags(flags, &o.nats)
}

func (o *execOptions) check() error {
	o.lines.Metrics = trimmed(o.lines.Metrics)
	switch {
	case o.trial == "":
		return errors.New("no trial is given: set KATIB_TRIAL_NAME, as Katib does in the pods of a Trial, or --trial")
	case len(o.lines.Metrics) == 0 && !o.all:
		return errors.New("--metrics loss,accuracy says which metrics are kept, as the Experiment's objective names them; --all-metrics keeps all, and Katib's UI misplaces those that the Experiment doesn't name")
	case len(o.lines.Metrics) > 0 && o.all:
		return errors.New("--metrics and --all-metrics exclude each other")
	case o.undelivered != "warn" && o.undelivered != "fail":
		return fmt.Errorf("--on-undelivered is %q, neither warn nor fail", o.undelivered)
	case o.ranks != "0" && o.ranks != "all":
		return fmt.Errorf("--ranks is %q, neither 0 nor all", o.ranks)
	case o.flushTimeout < 0:
		return fmt.Errorf("--flush-timeout is %v, less than 0", o.flushTimeout)
	}
	if err := checkFollowed(o.files); err != nil {
		return err
	}
	if err := schema.ValidateTrial(o.trial); err != nil {
		return err
	}
	if o.namespace != "" {
		return schema.ValidateNamespace(o.namespace)
	}
	return nil
}

func trimmed(names []string) (kept []string) {
	for _, name := range names {
		if name = strings.TrimSpace(name); name != "" {
			kept = append(kept, name)
		}
	}
	return kept
}

// producerConfig is the one place that says how exec's producer is set up.
func (o *execOptions) producerConfig(a *app) producer.Config {
	folder := o.spool
	if folder == "" {
		folder = spool.DefaultDir()
	}
	log := slog.New(withoutDisconnects{a.log.Handler()})
	return producer.Config{Namespace: o.namespace, Trial: o.trial, Spool: folder, SpoolBytes: int64(o.spoolBytes), Logger: log}
}

// own is a file of this process, where it is one.
func own(stream any) *os.File {
	file, _ := stream.(*os.File)
	return file
}
