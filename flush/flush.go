// Package flush answers, over NATS, the question whether what was reported is persisted: the micro service katib-flush on
// the subjects katib.flush.<namespace>.<trial>. Any replica answers.
package flush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"golang.org/x/sync/semaphore"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// answerWithin is how long a question waits for what it asks before it is answered that it is pending. Who asks must
	// wait longer than that.
	answerWithin = 5 * time.Second
	// mostQuestions is how many wait at the same time; the others are told to ask again.
	mostQuestions = 20_000
)

// Codes of errors that the service answers.
const (
	codeBad         = "400" // asking again would not help
	codeUnavailable = "503" // asking again may
)

// service answers questions, each in a goroutine of its own.
type service struct {
	barrier *barrier.Barrier
	log     *slog.Logger
	version string
	ctx     context.Context // ends with Serve's
	places  *semaphore.Weighted
}

// MetadataVersion is the key, in the service's metadata, of the program's version.
const MetadataVersion = "katib-stream"

// contract is the version of what is asked and answered.
const contract = "1.0.0"

// again is the pause before the service is set up again after the client ended it.
const again = 10 * time.Second

// Config is what an answer does not depend on.
type Config struct {
	// Version is the program's, for who asks which ones run.
	Version string
	// Logger gets one line per event that matters. Nil means silent.
	Logger *slog.Logger
}

// Serve answers until ctx ends; questions that wait then are answered that they are pending.
func Serve(ctx context.Context, nc *nats.Conn, b *barrier.Barrier, cfg Config) error {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &service{barrier: b, log: log, version: cfg.Version, ctx: ctx, places: semaphore.NewWeighted(mostQuestions)}
	for ctx.Err() == nil {
		if err := s.serve(ctx, nc); err != nil && ctx.Err() == nil {
			log.Warn("nobody can flush here for now", "subject", schema.FlushPrefix+".>", "error", err)
			wait(ctx, again)
		}
	}
	return s.places.Acquire(context.WithoutCancel(ctx), mostQuestions) // when everybody has an answer; nobody gets in after that
}

// serve answers until ctx ends or the client ends the service, as it does when the server refuses the subscription.
func (s *service) serve(ctx context.Context, nc *nats.Conn) error {
	ended := make(chan error, 1)
	service, err := micro.AddService(nc, micro.Config{
		Name:        "katib-flush",
		Version:     contract,
		Description: "Says when what was reported of a trial is persisted in Katib DB",
		QueueGroup:  "katib-flush",
		Metadata:    map[string]string{MetadataVersion: s.version},
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			select {
			case ended <- err:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := service.Stop(); err != nil {
			s.log.Debug("stop answering", "error", err)
		}
	}()
	if err := service.AddEndpoint("flush", micro.HandlerFunc(s.handle), micro.WithEndpointSubject(schema.FlushPrefix+".*.*")); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// handle runs in the subscription's goroutine, which must not wait.
func (s *service) handle(request micro.Request) {
	namespace, trial, question, err := read(request.Subject(), request.Data())
	if err != nil {
		s.fail(request, codeBad, err.Error())
		return
	}
	if !s.places.TryAcquire(1) {
		s.fail(request, codeUnavailable, "too many questions wait already")
		return
	}
	go func() {
		defer s.places.Release(1)
		s.answer(request, namespace, trial, question)
	}()
}

func read(subject string, body []byte) (namespace, trial string, question schema.FlushRequest, err error) {
	if namespace, trial, err = schema.ParseFlushSubject(subject); err != nil {
		return "", "", question, err
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &question); err != nil {
			// What json says can repeat a number of any length, and the answer is a header.
			return "", "", question, errors.New(`the question is not JSON like {"producer":"…","number":1}`)
		}
	}
	switch {
	case question.Producer == "" && question.Number == 0:
		return namespace, trial, question, nil // a reader's
	case question.Producer == "" || question.Number < 1 || question.Number > schema.MaxNumber:
		return "", "", question, fmt.Errorf("a producer and a number from 1 to %d belong together", uint64(schema.MaxNumber))
	}
	return namespace, trial, question, schema.ValidateProducer(question.Producer)
}

func (s *service) answer(request micro.Request, namespace, trial string, question schema.FlushRequest) {
	ctx, cancel := context.WithTimeout(s.ctx, answerWithin)
	defer cancel()
	var result barrier.Result
	var err error
	if question.Producer == "" {
		result, err = s.barrier.WaitTrial(ctx, trial)
	} else {
		subject := schema.Subject{Namespace: namespace, Trial: trial, Producer: question.Producer}
		result, err = s.barrier.WaitProducer(ctx, subject, question.Number)
	}
	answer := schema.FlushAnswer{Status: schema.FlushPersisted, Pending: result.Pending, DeadLetters: result.DeadLetters, Missing: result.Missing}
	switch {
	case err == nil && result.Deleted:
		answer.Status = schema.FlushDeleted
	case err == nil && !result.Unknown:
	case err == nil, errors.Is(err, barrier.ErrMissing):
		answer.Status = schema.FlushMissing
	case ctx.Err() != nil, errors.Is(err, barrier.ErrStopped):
		answer.Status = schema.FlushPending
	default:
		s.log.Debug("a question could not be answered", "trial", trial, "error", err)
		s.fail(request, codeUnavailable, err.Error())
		return
	}
	if err := request.RespondJSON(answer); err != nil {
		s.log.Debug("answer a question", "trial", trial, "error", err)
	}
}

func (s *service) fail(request micro.Request, code, text string) {
	if err := request.Error(code, text, nil); err != nil {
		s.log.Debug("answer a question", "error", err)
	}
}
