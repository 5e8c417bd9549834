package testserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

const loopback = "127.0.0.1"

// Ports are taken from below the range that systems give to outgoing connections (32768 and up on Linux, 49152 and up
// elsewhere). A client that reconnects could otherwise be given the port of the stopped server it looks for, and keep
// the server from coming back to it.
const lowestPort, highestPort = 15_000, 32_000

// given are the ports that were found before: who was given one may not listen yet.
var given sync.Map

// FreePort finds a loopback port that will very likely stay free while what listens on it restarts.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// freePort finds a loopback port that nobody listens on, and that will very likely stay free while a server restarts.
func freePort() (int, error) {
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if _, before := given.LoadOrStore(port, true); before {
			continue
		}
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("give a found port back: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("find a free loopback port: none of 100 tried was free")
}

func address(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}
