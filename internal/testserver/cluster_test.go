package testserver

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestClusterSurvivesEachNode stops and starts each node in turn, and stores a message while it is away.
func TestClusterSurvivesEachNode(t *testing.T) {
	c := Cluster(t)
	js := connect(t, c.URL())
	createStream(t, js, 3)
	for i := range clusterSize {
		c.StopNode(i)
		eventually(t, fmt.Sprintf("a message is stored without node %d", i), func() bool {
			_, err := js.Publish(t.Context(), "kept", []byte("x"), jetstream.WithMsgID(fmt.Sprint(i)))
			return err == nil
		})
		c.StartNode(i)
	}
	stream, err := js.Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != clusterSize {
		t.Errorf("%d messages; want %d", info.State.Msgs, clusterSize)
	}
	for _, replica := range info.Cluster.Replicas {
		if !replica.Current {
			t.Errorf("%s is %d behind after StartNode", replica.Name, replica.Lag)
		}
	}
	if n := len(info.Cluster.Replicas); n != clusterSize-1 {
		t.Errorf("%d replicas beside the leader; want %d", n, clusterSize-1)
	}
}

func TestClusterWithoutMajorityComesBack(t *testing.T) {
	c := Cluster(t)
	js := connect(t, c.NodeURL(0))
	createStream(t, js, 3)
	if _, err := js.Publish(t.Context(), "kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	c.StopNode(1)
	c.StopNode(2)
	if _, err := js.Publish(t.Context(), "kept", []byte("x")); err == nil {
		t.Error("a message was accepted by one node of three")
	}
	c.StartNode(1)
	c.StartNode(2)
	eventually(t, "the message is there, and another is stored", func() bool {
		ack, err := js.Publish(t.Context(), "kept", []byte("x"))
		return err == nil && ack.Sequence >= 2
	})
}
