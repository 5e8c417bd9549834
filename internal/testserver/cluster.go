package testserver

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// clusterSize is how many nodes a cluster has: the least with which a stream of three replicas survives one node.
const clusterSize = 3

// NATSCluster is a cluster of three NATS servers with JetStream in this process, numbered 0 to 2, each with a folder of
// its own. Streams may have 3 replicas. Its methods are for the goroutine of the test.
type NATSCluster struct {
	t       testing.TB
	options [clusterSize]*server.Options
	nodes   [clusterSize]*server.Server // nil while stopped
}

// Cluster starts a cluster that lives as long as the test, and returns when it can make streams.
func Cluster(t testing.TB) *NATSCluster {
	t.Helper()
	c := &NATSCluster{t: t}
	var routes []*url.URL
	for i := range c.options {
		c.options[i] = nodeOptions(t, i)
		routes = append(routes, &url.URL{Scheme: "nats", Host: address(c.options[i].Cluster.Port)})
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	for i := range c.options {
		c.options[i].Routes = routes
		c.start(i)
	}
	c.Wait()
	return c
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }

func nodeOptions(t testing.TB, i int) *server.Options {
	t.Helper()
	var ports [2]int
	for j := range ports {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[j] = port
	}
	return &server.Options{
		ServerName: nodeName(i),
		Host:       loopback,
		Port:       ports[0],
		Cluster:    server.ClusterOpts{Name: "testserver", Host: loopback, Port: ports[1]},
		JetStream:  true,
		StoreDir:   t.TempDir(),
		NoLog:      true,
		NoSigs:     true,
	}
}

// URL lists where clients connect: the three nodes, with commas between.
func (c *NATSCluster) URL() string {
	var urls []string
	for i := range c.options {
		urls = append(urls, c.NodeURL(i))
	}
	return strings.Join(urls, ",")
}

// NodeURL is where clients connect to one node.
func (c *NATSCluster) NodeURL(i int) string {
	return "nats://" + address(c.options[i].Port)
}

// StopNode stops one node, and returns when the others can make streams again. With two nodes stopped there is no
// majority left, and it returns at once.
func (c *NATSCluster) StopNode(i int) {
	c.t.Helper()
	c.stop(i)
	if c.running() > clusterSize/2 {
		c.Wait()
	}
}

// StartNode starts a stopped node, on its old ports and with what it had, and returns when its streams have caught up
// with those of the others. While a majority is missing it returns when the node takes connections.
func (c *NATSCluster) StartNode(i int) {
	c.t.Helper()
	if c.nodes[i] != nil {
		c.t.Fatalf("start node %d: it runs already", i)
	}
	c.start(i)
	if c.running() > clusterSize/2 {
		c.Wait()
	}
}

// Wait waits until a leader is elected and every stream and consumer of the nodes that run is up to date, 30 s at most.
func (c *NATSCluster) Wait() {
	c.t.Helper()
	deadline := time.After(natsTimeout)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		problem := c.problem()
		if problem == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			c.t.Fatalf("the NATS cluster is not healthy within %v: %s", natsTimeout, problem)
		}
	}
}

func (c *NATSCluster) running() int {
	running := 0
	for _, node := range c.nodes {
		if node != nil {
			running++
		}
	}
	return running
}

func (c *NATSCluster) start(i int) {
	c.t.Helper()
	node, err := startNATS(c.options[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = node
}

func (c *NATSCluster) stop(i int) {
	if c.nodes[i] == nil {
		return
	}
	stopNATS(c.nodes[i])
	c.nodes[i] = nil
}
