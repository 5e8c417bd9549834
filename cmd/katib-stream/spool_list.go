package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/spool"
)

// spoolFile is a file of the spool as it is listed.
type spoolFile struct {
	File      string `json:"file"`
	Namespace string `json:"namespace,omitempty"`
	Trial     string `json:"trial,omitempty"`
	Producer  string `json:"producer,omitempty"`
	// State is live, left behind or aside.
	State string `json:"state"`
	// Messages and Events are what the stream has not acknowledged.
	Messages int       `json:"messages"`
	Events   int       `json:"events"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	Torn     bool      `json:"torn,omitempty"`
	Damaged  bool      `json:"damaged,omitempty"`
	// Problem says why the file could not be read.
	Problem string `json:"problem,omitempty"`
}

func (f spoolFile) note() string {
	switch {
	case f.Problem != "":
		return f.Problem
	case f.Damaged:
		return "damaged"
	case f.Torn:
		return "torn end"
	}
	return ""
}

func (a *app) listSpool(o spoolListOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	folder := spool.Look(o.dir)
	files, err := folder.List()
	if err != nil {
		return err
	}
	listed := []spoolFile{}
	for _, file := range files {
		if file.Temporary {
			continue // being made
		}
		found, err := inspect(folder, file)
		if errors.Is(err, os.ErrNotExist) {
			continue // delivered meanwhile
		}
		listed = append(listed, found)
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, listed)
	}
	if len(listed) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nothing is left in", cli.Printable(o.dir))
		return err
	}
	rows := make([][]string, 0, len(listed))
	for _, f := range listed {
		rows = append(rows, []string{f.Namespace, f.Trial, f.File, f.State, strconv.Itoa(f.Events), f.Modified.Format(time.RFC3339), f.note()})
	}
	return cli.WriteTable(a.stdout, []string{"NAMESPACE", "TRIAL", "FILE", "STATE", "EVENTS", "WRITTEN", ""}, rows)
}

func inspect(folder *spool.Folder, file spool.File) (spoolFile, error) {
	f := spoolFile{File: file.Name, State: "left behind", Bytes: file.Bytes, Modified: file.Modified.UTC()}
	content, held, err := folder.Inspect(file.Name)
	switch {
	case file.Aside:
		f.State = "aside"
	case held:
		f.State = "live"
	}
	if err != nil {
		f.Problem = oneLineOf(err)
		return f, err
	}
	f.Namespace, f.Trial, f.Producer = content.Description.Namespace, content.Description.Trial, content.Description.Producer
	f.Messages, f.Events = content.Unsettled()
	if !held { // what a living process is just writing can look like either
		f.Torn, f.Damaged = content.Torn, content.Damaged
	}
	return f, nil
}
