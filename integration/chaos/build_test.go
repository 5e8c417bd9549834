package chaos

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/integration/faults"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// changes are what testserver.Overlay plants.
type changes = map[string]map[string]string

// The programs of a run. The bad release is another version of the product, which dies of some messages.
const (
	product    = "katib-stream"
	badRelease = "katib-stream-bad"
	goTrainer  = "trainer"
)

// stepping gives the Go trainers' producers a clock that jumps by up to an hour to either side on SIGUSR1.
var stepping = changes{
	"producer/producer.go": {"p.clock.stamp(e.Time, now)": "p.clock.stamp(e.Time, stepped())"},
	"producer/stepped.go": {"": `package producer

import (
	"math/rand/v2"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

var step atomic.Int64

func init() {
	jumps := make(chan os.Signal, 1)
	signal.Notify(jumps, syscall.SIGUSR1)
	go func() {
		for range jumps {
			step.Store(rand.Int64N(int64(2*time.Hour)) - int64(time.Hour))
		}
	}()
}

func stepped() time.Time { return time.Now().Round(0).Add(time.Duration(step.Load())) }
`},
}

// build builds the programs side by side, with a bug planted in the product and the trainers when there is one.
func build(t testing.TB, dir string, bug changes) {
	t.Helper()
	inTrainer := maps.Clone(stepping)
	maps.Copy(inTrainer, bug)
	var group errgroup.Group
	group.Go(func() error { return buildOne(t, filepath.Join(dir, product), "./cmd/katib-stream", bug) })
	group.Go(func() error {
		return buildOne(t, filepath.Join(dir, goTrainer), "./integration/chaos/trainer", inTrainer)
	})
	if bug == nil {
		group.Go(func() error {
			return buildOne(t, filepath.Join(dir, badRelease), "./cmd/katib-stream", faults.BadRelease)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func buildOne(t testing.TB, program, source string, planted changes) error {
	command := exec.Command("go", "build", "-trimpath", "-overlay", testserver.Overlay(t, "../..", planted), "-o", program, source)
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", source, err, out)
	}
	return nil
}
