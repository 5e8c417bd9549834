package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/integration/chaos/notes"
)

func (l *link) url() string { return "nats://" + l.address() }

// stored says whether an answer to a publish is that the stream has the message.
func stored(answer []byte) bool {
	var ack struct {
		Sequence uint64 `json:"seq"`
	}
	return json.Unmarshal(answer, &ack) == nil && ack.Sequence > 0
}

// perTrial is how many reports a trial of the gRPC interface gets: a longer log is thinned.
const perTrial = 300

// useKatib reports through Katib's gRPC interface, once each, and reads back: what was answered is persisted, and a log that
// is read has all of it.
func (l *workload) useKatib(ctx context.Context) {
	conn, err := grpc.NewClient(l.managerAddress, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		l.violated("connect to the db-manager: %v", err)
		return
	}
	defer conn.Close()
	katib := katibapi.NewDBManagerClient(conn)
	for round := 0; ctx.Err() == nil; round++ {
		l.useTrial(ctx, katib, fmt.Sprintf("grpc-%d", round))
	}
}

func (l *workload) useTrial(ctx context.Context, katib katibapi.DBManagerClient, trial string) {
	var answered []int
	for n := range perTrial {
		if ctx.Err() != nil {
			return
		}
		l.tell(trial, n, may)
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := katib.ReportObservationLog(limited, &katibapi.ReportObservationLogRequest{TrialName: trial, ObservationLog: logOf(trial, n)})
		cancel()
		if err == nil {
			l.tell(trial, n, must)
			answered = append(answered, n)
			if n%10 == 0 {
				l.audit(ctx, trial, []int{n}, 0, "the db-manager answered")
			}
		}
		if n%50 == 49 {
			l.readBack(ctx, katib, trial, answered)
		}
		if !sleep(ctx, time.Second/time.Duration(*rate)) {
			return
		}
	}
}

func logOf(trial string, n int) *katibapi.ObservationLog {
	at := time.Date(2026, 11, 24, 12, 0, 0, n*1000, time.UTC).Format(time.RFC3339Nano)
	entry := func(name string, value int) *katibapi.MetricLog {
		return &katibapi.MetricLog{TimeStamp: at, Metric: &katibapi.Metric{Name: name, Value: strconv.Itoa(value)}}
	}
	return &katibapi.ObservationLog{MetricLogs: []*katibapi.MetricLog{entry("n", n), entry("check", notes.Check(trial, n))}}
}

func (l *workload) readBack(ctx context.Context, katib katibapi.DBManagerClient, trial string, answered []int) {
	limited, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	reply, err := katib.GetObservationLog(limited, &katibapi.GetObservationLogRequest{TrialName: trial, MetricName: "n"})
	if err != nil {
		return // an error is no promise
	}
	var read []int
	for _, entry := range reply.GetObservationLog().GetMetricLogs() {
		n, err := strconv.Atoi(entry.GetMetric().GetValue())
		if err != nil {
			l.violated("%s: a read gave the value %q", trial, entry.GetMetric().GetValue())
			return
		}
		read = append(read, n)
	}
	for _, n := range answered {
		if !slices.Contains(read, n) {
			l.violated("%s: a read without event %d, which had been answered", trial, n)
		}
	}
}

// deleteVictim deletes the trial in mid-run, and begins it anew with a producer of its own.
func (l *workload) deleteVictim(ctx context.Context) (rows int, err error) {
	// Something of the present producer is persisted, so that the deletion knows it.
	runs, err := notes.Read(l.notes[victim])
	if err != nil || len(runs) == 0 {
		return 0, fmt.Errorf("read the victim's notes (%d runs): %w", len(runs), err)
	}
	first := notes.Next(runs[:len(runs)-1])
	known := poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
		found, err := l.values(ctx, victim, 0)
		rows = len(found)
		return err == nil && slices.ContainsFunc(found, func(n int) bool { return n >= first })
	})
	if !known {
		return 0, ctx.Err()
	}
	conn, err := grpc.NewClient(l.managerAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	katib := katibapi.NewDBManagerClient(conn)
	answered := poll(ctx, 100*time.Millisecond, func(ctx context.Context) bool {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err = katib.DeleteObservationLog(limited, &katibapi.DeleteObservationLogRequest{TrialName: victim})
		return err == nil
	})
	if !answered {
		return 0, fmt.Errorf("the deletion was not answered: %w", err)
	}
	trainer := l.byName[victim]
	trainer.gate.Lock()
	defer trainer.gate.Unlock()
	if err := trainer.kill(); err != nil {
		return 0, err
	}
	if runs, err = notes.Read(l.notes[victim]); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.deleted = len(runs)
	l.mu.Unlock()
	return rows, nil
}
