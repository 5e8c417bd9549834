package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/katib-stream/katib-stream/internal/deadletter"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

func newDeadLettersCommand(a *app) *cobra.Command {
	command := &cobra.Command{
		Use:   "deadletters",
		Short: "Show, requeue and remove what could not be persisted",
		Long: `Show, requeue and remove dead letters: messages that can never be persisted as they are. The stream KATIB_DEADLETTERS keeps
each with the stage that refused it and the reason.

decode      the message breaks the contract: mend its body, or the sender
namespace   its trial is bound to another namespace
persist     the database does not take a value of it
quarantine  it has killed the consumer again and again`,
		Example: `  katib-stream deadletters ls --summary
  katib-stream deadletters ls --trial my-trial
  katib-stream deadletters show 7
  katib-stream deadletters requeue 7`,
		Args: cobra.ArbitraryArgs, // RunE tells a wrong command
		RunE: helpOrUnknown,
	}
	command.AddCommand(newDeadLettersListCommand(a), newDeadLettersShowCommand(a), newDeadLettersRequeueCommand(a), newDeadLettersRemoveCommand(a))
	return command
}

// letterFilter are the flags that say which dead letters are meant.
type letterFilter struct {
	deadletter.Filter
	since, until time.Duration
}

func (f *letterFilter) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.Namespace, "namespace", "", "only of this `namespace`")
	flags.StringVar(&f.Trial, "trial", "", "only of this `trial`")
	flags.StringVar(&f.Stage, "stage", "", "only what this `stage` refused: decode, namespace, persist or quarantine")
	flags.StringVar(&f.Reason, "reason", "", "only those whose reason has this `text`")
	flags.DurationVar(&f.since, "since", 0, "only those that died within this `time`, like 24h")
	flags.DurationVar(&f.until, "until", 0, "only those that died longer ago than this `time`, like 1h")
}

func (f *letterFilter) check(now time.Time) error {
	switch f.Stage {
	case "", schema.StageDecode, schema.StageNamespace, schema.StagePersist, schema.StageQuarantine:
	default:
		return fmt.Errorf("--stage is %q, none of decode, namespace, persist and quarantine", f.Stage)
	}
	if f.since < 0 || f.until < 0 {
		return errors.New("--since and --until are times back from now, not less than 0")
	}
	if f.since > 0 {
		f.Since = now.Add(-f.since)
	}
	if f.until > 0 {
		f.Until = now.Add(-f.until)
	}
	if f.Namespace != "" {
		if err := schema.ValidateNamespace(f.Namespace); err != nil {
			return err
		}
	}
	if f.Trial != "" {
		return schema.ValidateTrial(f.Trial)
	}
	return nil
}

// letterSelection says which dead letters something is done to: by their numbers, by a filter, or to all.
type letterSelection struct {
	letterFilter
	all     bool
	numbers []uint64
}

func (s *letterSelection) addFlags(flags *pflag.FlagSet) {
	s.letterFilter.addFlags(flags)
	flags.BoolVar(&s.all, "all", false, "all that there are")
}

func (s *letterSelection) take(args []string) error {
	for _, arg := range args {
		number, err := numberOf(arg)
		if err != nil {
			return err
		}
		s.numbers = append(s.numbers, number)
	}
	if err := s.check(time.Now()); err != nil {
		return usageError{err}
	}
	filtered := s.Filter != deadletter.Filter{}
	switch {
	case len(s.numbers) > 0 && (filtered || s.all):
		return usagef("numbers say which letters are meant, so there is nothing left to filter")
	case len(s.numbers) == 0 && !filtered && !s.all:
		return usagef("which? give numbers that `katib-stream deadletters ls` shows, a filter like --trial, or --all")
	}
	return nil
}

func numberOf(arg string) (uint64, error) {
	number, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || number == 0 {
		return 0, usagef("%q is no dead letter's number; `katib-stream deadletters ls` shows them", arg)
	}
	return number, nil
}

// find gives the numbers of those that are there.
func (s *letterSelection) find(ctx context.Context, js jetstream.JetStream, timeout time.Duration) ([]uint64, error) {
	if len(s.numbers) > 0 {
		return s.numbers, nil
	}
	var found []uint64
	err := deadletter.Each(ctx, js, s.Filter, timeout, func(l *deadletter.Letter) error {
		found = append(found, l.Sequence)
		return nil
	})
	return found, explainLetters(js.Conn(), err)
}

// letters looks the stream of dead letters up.
func (c *client) letters(ctx context.Context, nc *nats.Conn) (jetstream.JetStream, jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, fmt.Errorf("use JetStream: %w", err)
	}
	letters, err := js.Stream(ctx, schema.DeadLetterStream)
	return js, letters, explainLetters(nc, err)
}

func explainLetters(nc *nats.Conn, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return explained{fmt.Sprintf("NATS at %s has no stream %s; `katib-stream up` or `katib-stream consumer` makes it", natsconn.Redact(nc.ConnectedUrl()), schema.DeadLetterStream), err}
	case errors.Is(nc.LastError(), nats.ErrPermissionViolation):
		return explained{fmt.Sprintf("NATS at %s does not let this user read stream %s (%v)", natsconn.Redact(nc.ConnectedUrl()), schema.DeadLetterStream, nc.LastError()), err}
	}
	if errors.Is(err, context.DeadlineExceeded) || isWithoutJetStream(err) {
		return explain(nc, err)
	}
	return err
}

// confirmed asks on the terminal whether to go on; elsewhere --yes has to say so.
func (a *app) confirmed(question string) (bool, error) {
	file, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return false, usagef("say --yes: there is no terminal to ask %q on", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(file).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
