// Package testserver gives tests the real servers that an event passes: NATS with JetStream, alone or as a cluster of
// three, and every kind of Katib DB. Servers listen on free loopback ports, keep their data in temporary folders, and
// end with the test, with the test process, or when that is killed.
package testserver

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// shared holds what the tests of this process share: the provider, and one database server of each kind.
var shared pool

// ofNATSServer are goroutines that nats-server leaves behind now and then when a node of a cluster stops while it makes a
// stream. They are of the servers for tests alone: what is tested runs none.
var ofNATSServer = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
	goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
}

// Run runs the tests, then stops the database servers they shared, and looks for goroutines that were left behind, other than
// those of libraries that are ignored. It returns the status to exit with. Every TestMain of a package that takes servers from here ends with
// os.Exit(testserver.Run(m)).
func Run(m *testing.M, ignored ...goleak.Option) int {
	status := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		status = max(status, 1)
	}
	if status != 0 {
		return status
	}
	if err := goleak.Find(append(ignored, ofNATSServer...)...); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		return 1
	}
	return 0
}
