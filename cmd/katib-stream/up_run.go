package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
)

// places is where everything is to be found.
type places struct {
	NATS       string `json:"nats"`
	Monitoring string `json:"monitoring,omitempty"`
	Database   string `json:"database"`
	HTTP       string `json:"http,omitempty"`
	Data       string `json:"data"`
}

// runAll runs the consumer until ctx ends, and says where everything is once it works.
func (a *app) runAll(ctx context.Context, o upOptions, db *katibdb.DB, places places) error {
	nc, err := natsconn.Connect(ctx, o.nats, a.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	s, err := a.newService(js, db, o.consumerOptions)
	if err != nil {
		return err
	}
	s.ready = func() {
		if places.NATS == "" {
			places.NATS = natsconn.Redact(nc.ConnectedUrl())
		}
		if s.listener != nil {
			places.HTTP = "http://" + s.listener.Addr().String()
		}
		if err := a.printPlaces(o, places); err != nil {
			a.log.Warn("nobody can be told where everything is", "error", err)
		}
	}
	return s.run(ctx)
}

func (a *app) printPlaces(o upOptions, p places) error {
	cfg, err := a.databaseConfig(o.database)
	if err != nil {
		return err
	}
	p.Database = cfg.String()
	if p.Data, err = filepath.Abs(o.data); err != nil {
		p.Data = o.data
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, p)
	}
	rows := [][]string{{"NATS", p.NATS}}
	if p.Monitoring != "" {
		rows = append(rows, []string{"Monitoring", p.Monitoring})
	}
	rows = append(rows, []string{"Database", p.Database})
	if p.HTTP != "" {
		rows = append(rows, []string{"Metrics", p.HTTP + "/metrics"}, []string{"Health", p.HTTP + "/healthz and /readyz"})
	}
	rows = append(rows, []string{"Data", p.Data}, []string{"Try", "katib-stream publish my-trial loss=0.5 --server " + p.NATS})
	fmt.Fprintln(a.stdout, "katib-stream is up; Ctrl-C stops it.")
	return cli.WriteTable(a.stdout, nil, rows)
}
