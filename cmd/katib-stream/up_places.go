package main

import (
	"fmt"
	"path/filepath"

	"github.com/katib-stream/katib-stream/internal/cli"
)

// places is where everything is to be found.
type places struct {
	NATS       string `json:"nats"`
	Monitoring string `json:"monitoring,omitempty"`
	Database   string `json:"database"`
	Katib      string `json:"katib,omitempty"`
	HTTP       string `json:"http,omitempty"`
	Data       string `json:"data"`
}

func (a *app) printPlaces(o upOptions, p places) error {
	cfg, err := a.databaseConfig(o.database)
	if err != nil {
		return err
	}
	p.Database, p.Data = cfg.String(), absolute(o.data)
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, p)
	}
	rows := [][]string{{"NATS", p.NATS}}
	if p.Monitoring != "" {
		rows = append(rows, []string{"Monitoring", p.Monitoring})
	}
	rows = append(rows, []string{"Database", p.Database})
	if p.Katib != "" {
		rows = append(rows, []string{"Katib", p.Katib})
	}
	if p.HTTP != "" {
		rows = append(rows, []string{"Metrics", p.HTTP + "/metrics"}, []string{"Health", p.HTTP + "/healthz and /readyz"})
	}
	rows = append(rows, []string{"Data", p.Data})
	if o.embedded() {
		rows = append(rows, []string{"Try", calledAs() + " publish my-trial loss=0.5 --server " + p.NATS})
	}
	fmt.Fprintln(a.stdout, "katib-stream is up; Ctrl-C stops it.")
	return cli.WriteTable(a.stdout, nil, rows)
}

// absolute is path from anywhere, as far as that can be found out.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
