package testserver

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// problem says what keeps the cluster from being healthy, "" when nothing does. A node that has just come back may find
// itself healthy before it has heard how far the others are, so the leaders of streams and consumers are asked, too.
func (c *NATSCluster) problem() string {
	leaders := 0
	for i, node := range c.nodes {
		if node == nil {
			continue
		}
		if node.JetStreamIsLeader() {
			leaders++
		}
		if health := node.Healthz(&server.HealthzOptions{}); health.StatusCode != 200 {
			return fmt.Sprintf("node %d: %s", i, health.Error)
		}
		if problem := c.groupsProblem(i); problem != "" {
			return problem
		}
	}
	if leaders != 1 {
		return fmt.Sprintf("%d leaders", leaders)
	}
	return ""
}

// groupsProblem looks at the cluster as a node knows it, and at every stream and consumer that it holds a replica of.
func (c *NATSCluster) groupsProblem(i int) string {
	info, err := c.nodes[i].Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true})
	if err != nil {
		return fmt.Sprintf("node %d: %v", i, err)
	}
	if problem := c.metaProblem(info.Meta); problem != "" {
		return problem
	}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if problem := c.groupProblem(i, "stream "+stream.Name, stream.Cluster); problem != "" {
				return problem
			}
			for _, consumer := range stream.Consumer {
				if problem := c.groupProblem(i, "consumer "+consumer.Name+" of "+stream.Name, consumer.Cluster); problem != "" {
					return problem
				}
			}
		}
	}
	return ""
}

// metaProblem looks at what the cluster's leader knows of the nodes; others know of no replicas. Before the leader has
// heard of a node, streams are not placed there.
func (c *NATSCluster) metaProblem(meta *server.MetaClusterInfo) string {
	if meta == nil || len(meta.Replicas) == 0 {
		return ""
	}
	met := 1 // the leader itself
	for _, replica := range meta.Replicas {
		if !c.runs(replica.Name) {
			continue
		}
		if replica.Offline {
			return replica.Name + " is not known to be there"
		}
		met++
	}
	if met < c.running() {
		return fmt.Sprintf("the leader knows %d of %d nodes", met, c.running())
	}
	return ""
}

// groupProblem looks at what a node knows of one group of replicas; only its leader knows how far the others are.
func (c *NATSCluster) groupProblem(i int, what string, group *server.ClusterInfo) string {
	if group == nil || group.Leader == "" {
		return fmt.Sprintf("node %d knows no leader of %s", i, what)
	}
	if group.Leader != nodeName(i) {
		return ""
	}
	for _, replica := range group.Replicas {
		if c.runs(replica.Name) && !replica.Current {
			return fmt.Sprintf("%s is %d behind in %s", replica.Name, replica.Lag, what)
		}
	}
	return ""
}

// runs tells whether the node of that name runs.
func (c *NATSCluster) runs(name string) bool {
	for i, node := range c.nodes {
		if node != nil && nodeName(i) == name {
			return true
		}
	}
	return false
}
