package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// hyperparameters are what the search looks for.
type hyperparameters struct {
	LearningRate float64 `json:"learning_rate"`
	BatchSize    int     `json:"batch_size"`
	Hidden       int     `json:"hidden"`
}

// The space that is searched: rates between the two, and these sizes.
var (
	leastRate, mostRate = 0.003, 1.0
	batchSizes          = []int{8, 16, 32, 64}
	hiddenUnits         = []int{16, 24, 32, 48}
)

// anywhere is a random point of the space; rates are spread evenly over their orders of magnitude.
func anywhere(random *rand.Rand) hyperparameters {
	return hyperparameters{
		LearningRate: rounded(leastRate * math.Pow(mostRate/leastRate, random.Float64())),
		BatchSize:    batchSizes[random.IntN(len(batchSizes))],
		Hidden:       hiddenUnits[random.IntN(len(hiddenUnits))],
	}
}

// near is a random point not far away.
func (h hyperparameters) near(random *rand.Rand) hyperparameters {
	rate := h.LearningRate * math.Exp(random.NormFloat64()/2)
	return hyperparameters{
		LearningRate: rounded(min(max(rate, leastRate), mostRate)),
		BatchSize:    neighbour(random, batchSizes, h.BatchSize),
		Hidden:       neighbour(random, hiddenUnits, h.Hidden),
	}
}

// neighbour is value, or what stands beside it.
func neighbour(random *rand.Rand, values []int, value int) int {
	for i, v := range values {
		if v == value {
			return values[min(max(i+random.IntN(3)-1, 0), len(values)-1)]
		}
	}
	return value
}

// rounded keeps what is tried to what is printed.
func rounded(rate float64) float64 {
	rate, _ = strconv.ParseFloat(strconv.FormatFloat(rate, 'g', 3, 64), 64) // it just wrote it
	return rate
}

// searchAndCheck runs the two rounds, and compares what the trainers noted with what the database has.
func (d *demoRun) searchAndCheck(ctx context.Context) (demoResult, error) {
	random := rand.New(rand.NewPCG(d.seed, 0))
	first := make([]*demoTrial, (d.trialCount*3+2)/5)
	for i := range first {
		first[i] = d.newTrial(i+1, anywhere(random))
	}
	d.show.say("round 1: %d trials with random hyperparameters, %d at a time", len(first), d.parallel)
	if err := d.runRound(ctx, first); err != nil {
		return demoResult{}, err
	}
	if err := d.settle(ctx); err != nil {
		return demoResult{}, err
	}
	best, err := d.best(ctx, first)
	if err != nil {
		return demoResult{}, err
	}
	second := make([]*demoTrial, d.trialCount-len(first))
	for i := range second {
		second[i] = d.newTrial(len(first)+i+1, best.near(random))
	}
	d.show.say("best in observation_logs: %s; round 2: %d trials near it", best.Name, len(second))
	if err := d.runRound(ctx, second); err != nil {
		return demoResult{}, err
	}
	return d.conclude(ctx, append(first, second...))
}

// runRound runs trials, as many at a time as may be.
func (d *demoRun) runRound(ctx context.Context, trials []*demoTrial) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.parallel)
	for _, t := range trials {
		group.Go(func() error { return d.train(ctx, t) })
	}
	return group.Wait()
}

// bestQuery finds the best trial as Katib does for an objective to maximise, by the best value that it ever reported. Of
// equals the one that learned faster is better.
const bestQuery = `SELECT trial_name FROM observation_logs WHERE metric_name = 'accuracy' GROUP BY trial_name
ORDER BY MAX(CAST(value AS REAL)) DESC, AVG(CAST(value AS REAL)) DESC LIMIT 1`

// best asks the database, and nobody else, which of the trials is the best.
func (d *demoRun) best(ctx context.Context, trials []*demoTrial) (*demoTrial, error) {
	var name string
	if err := d.db.SQL().QueryRowContext(ctx, bestQuery).Scan(&name); err != nil {
		return nil, fmt.Errorf("ask observation_logs for the best trial: %w", err)
	}
	for _, t := range trials {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, errors.New("observation_logs has a trial that nobody ran: " + name)
}
