package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// demoTrial is a trial, and what became of it.
type demoTrial struct {
	Name string `json:"trial"`
	hyperparameters
	// Best and Last are accuracies, of images that the trial did not train on.
	Best float64 `json:"best_accuracy"`
	Last float64 `json:"last_accuracy"`
	// Events is how many the trainer reported.
	Events int `json:"events"`
	comparison

	notes string // the file in which the trainer notes what it reported
}

func (d *demoRun) newTrial(number int, h hyperparameters) *demoTrial {
	name := fmt.Sprintf("digits-%02d", number)
	return &demoTrial{Name: name, hyperparameters: h, notes: filepath.Join(d.dir, name+".ndjson")}
}

// train runs the trainer of a trial until it ends, as Katib would: hyperparameters by flags, the trial by $KATIB_TRIAL_NAME.
func (d *demoRun) train(ctx context.Context, t *demoTrial) error {
	d.training.Add(1)
	defer d.training.Add(-1)
	log := filepath.Join(d.dir, t.Name+".log")
	output, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("make the log of trial %s: %w", t.Name, err)
	}
	defer output.Close()
	command := exec.CommandContext(ctx, d.trainer,
		"--learning-rate", strconv.FormatFloat(t.LearningRate, 'g', -1, 64),
		"--batch-size", strconv.Itoa(t.BatchSize),
		"--hidden", strconv.Itoa(t.Hidden),
		"--steps", strconv.Itoa(d.steps),
		"--seed", strconv.FormatUint(d.seed, 10),
		"--server", d.server.URL(),
		"--log", t.notes)
	command.Env = append(plainEnvironment(), "KATIB_TRIAL_NAME="+t.Name)
	command.Stdout, command.Stderr = output, output
	d.show.begin(t.Name)
	err = command.Run()
	d.show.end(t.Name)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return d.because(log, fmt.Errorf("trial %s: %w", t.Name, err))
	}
	noted, err := readNotes(t.notes)
	if err != nil {
		return err
	}
	t.Events = noted.events
	t.Best, t.Last = noted.accuracy()
	d.show.say("%s: accuracy %.3f with rate %g, batch %d, %d hidden units", t.Name, t.Best, t.LearningRate, t.BatchSize, t.Hidden)
	return nil
}
