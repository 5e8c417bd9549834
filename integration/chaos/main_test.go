package chaos

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

var (
	seed     = flag.Uint64("chaos.seed", 0, "seed of the schedule of faults; 0 for any")
	duration = flag.Duration("chaos.duration", 0, "how long faults are mixed after each had its turn")
	rate     = flag.Int("chaos.rate", 60, "events a second and trainer")
	only     = flag.String("chaos.faults", "", "regular expression of the faults to bring about; default all")
	database = flag.String("chaos.database", "", "mariadb or mysql, with one NATS server, or postgres, with three; default mariadb and postgres")
	mutants  = flag.String("chaos.mutants", "", "regular expression of the planted bugs to be found; default none")
	keep     = flag.Bool("chaos.keep", false, "keep the folder with logs and notes also when all went well")
)

// envNATS makes the test binary a NATS server with that configuration file, so that one can be killed.
const envNATS = "KATIB_STREAM_CHAOS_NATS"

func TestMain(m *testing.M) {
	if file := os.Getenv(envNATS); file != "" {
		if err := beNATS(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	os.Exit(testserver.Run(m, ofToxiproxy...))
}

// ofToxiproxy are goroutines that it leaves behind when a connection ends in the middle of a toxic.
var ofToxiproxy = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
}

func beNATS(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		return err
	}
	s.WaitForShutdown()
	return nil
}
