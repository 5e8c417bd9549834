package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// closeTimeout is how long the end of a run waits until the stream has what was reported: less than the 30 s that
// Kubernetes gives a pod to end.
const closeTimeout = 20 * time.Second

// trainAndReport connects, trains, and makes sure at the end that everything it reported is in the stream.
func trainAndReport(ctx context.Context, o options, out, notes io.Writer) error {
	nc, err := nats.Connect(o.server,
		nats.RetryOnFailedConnect(true), // training starts although NATS is away
		nats.MaxReconnects(-1),          // and goes on, however long that takes
	)
	if err != nil {
		return fmt.Errorf("set up the connection to NATS: %w", err)
	}
	defer nc.Close()
	p, err := producer.New(nc, producer.Config{Logger: slog.Default()})
	if err != nil {
		return err
	}
	trainErr := train(ctx, o, p, out, notes)
	// Also when training was interrupted: what it reported until then is worth keeping.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		return fmt.Errorf("deliver what was reported: %w; see --server, or start `katib-stream up`", err)
	}
	return trainErr
}

func train(ctx context.Context, o options, p *producer.Producer, out, notes io.Writer) (refused error) {
	training, test, err := load()
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(o.seed, 0))
	model := newNetwork(o.hidden, random)
	batch := make([]*image, o.batchSize)
	for step := 1; step <= o.steps; step++ {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before step %d", step)
		}
		for i := range batch {
			batch[i] = &training[random.IntN(len(training))]
		}
		loss := model.train(batch, o.learningRate)
		accuracy := model.accuracy(test)
		if err := report(ctx, p, notes, step, loss, accuracy); err != nil && refused == nil {
			refused = err // training goes on; its end says that something is missing
		}
		if step%100 == 0 || step == o.steps {
			fmt.Fprintf(out, "step %d of %d: loss=%.4f accuracy=%.4f\n", step, o.steps, loss, accuracy)
		}
	}
	return refused
}

// report reports one step, and then notes the same in the log. It takes microseconds: the producer sends in the background.
//
// Report would stamp the event by itself. It is stamped here because the log has to say the same time.
func report(ctx context.Context, p *producer.Producer, notes io.Writer, step int, loss, accuracy float64) error {
	number := int64(step)
	event := schema.Event{
		Time:    time.Now(),
		Step:    &number,
		Metrics: []schema.Metric{schema.Number("loss", loss), schema.Number("accuracy", accuracy)},
	}
	if err := p.Report(ctx, event); err != nil {
		return fmt.Errorf("step %d: %w", step, err)
	}
	return note(notes, event)
}

// note writes what was accepted as a line of JSON, on purpose with other code than the producer uses: whoever compares it
// with the database shall find mistakes of either.
func note(notes io.Writer, event schema.Event) error {
	values := map[string]string{}
	for _, m := range event.Metrics {
		values[m.Name] = m.Value
	}
	line := map[string]any{"time": event.Time, "step": *event.Step, "metrics": values}
	if err := json.NewEncoder(notes).Encode(line); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}
