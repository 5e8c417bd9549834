package producer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// Training starts, and goes on, whether NATS is there or not. This example runs without a server: so at its end one event
// is left over, and Close says so.
func Example() {
	nc, err := nats.Connect("nats://127.0.0.1:1",
		nats.RetryOnFailedConnect(true), // start although NATS is away
		nats.MaxReconnects(-1),          // and never give it up
	)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	// In a Katib Trial's pod namespace and trial are found by themselves.
	p, err := producer.New(nc, producer.Config{Namespace: "default", Trial: "my-trial"})
	if err != nil {
		log.Fatal(err)
	}

	step := int64(1)
	err = p.Report(context.Background(), schema.Event{
		Step:    &step,
		Metrics: []schema.Metric{schema.Number("loss", 0.125), schema.Number("accuracy", 0.91)},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // training goes on
	}

	// Leave the end of the run time enough: this is where events are waited for.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(p.Close(ctx))
	// Output:
	// undelivered: 1 event not stored: context deadline exceeded; not connected: nats: server is disconnected; 1 event lost with this process (in memory only)
}
