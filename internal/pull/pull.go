// Package pull requests messages of pull consumers of the stream KATIB_METRICS.
package pull

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// tooLarge is the status of a request that the next message is too large for; it is that of other conflicts, too.
const tooLarge = "409"

// ErrLarger says that the next message does not fit into a request.
var ErrLarger = errors.New("the next message is larger")

// answerWait is how long a request may go without the answer that it is over, past its own time.
const answerWait = 2 * time.Second

// Puller requests messages of consumers of KATIB_METRICS, over one subscription for all of its requests. The client's own
// Fetch will not do: it has a subscription for each request and leaves it when it hears that the request is over, but
// nats-server says so before it delivers the last messages when the consumer has replicas (they wait for a majority, the
// word of a full batch or of too many bytes does not); those messages would be delivered to nobody, again and again. Also,
// it takes a message without a body for a word of the server when the publisher gave it a header Status.
type Puller struct {
	conn     *nats.Conn
	prefix   string // of subjects of requests
	inbox    string // the answers to request N are for <inbox>.N
	sub      *nats.Subscription
	came     chan *nats.Msg
	requests int
}

// New makes one for requests of at most so many messages.
func New(js jetstream.JetStream, most int) (*Puller, error) {
	const words = 1_024 // room for what the server says beside
	p := &Puller{conn: js.Conn(), prefix: APIPrefix(js.Options()), inbox: js.Conn().NewInbox(), came: make(chan *nats.Msg, 2*most+words)}
	sub, err := p.conn.ChanSubscribe(p.inbox+".*", p.came)
	if err != nil {
		return nil, fmt.Errorf("subscribe to deliveries: %w", err)
	}
	p.sub = sub
	return p, nil
}

// APIPrefix is what the client begins its own requests with, but does not tell.
func APIPrefix(options jetstream.JetStreamOptions) string {
	switch {
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

// Pull asks a consumer for up to n messages of together up to maxBytes (0 for any number), and returns what came until
// the server said that the request is over. What is delivered later comes with the next call.
func (p *Puller) Pull(consumer string, n, maxBytes int, wait time.Duration) ([]jetstream.Msg, error) {
	p.requests++
	inbox := p.inbox + "." + strconv.Itoa(p.requests)
	request, err := json.Marshal(struct {
		Batch    int           `json:"batch"`
		MaxBytes int           `json:"max_bytes,omitempty"`
		Expires  time.Duration `json:"expires"`
	}{n, maxBytes, wait})
	if err != nil {
		return nil, err
	}
	if err := p.conn.PublishRequest(p.prefix+"CONSUMER.MSG.NEXT."+schema.Stream+"."+consumer, inbox, request); err != nil {
		return nil, err
	}
	deadline := time.NewTimer(wait + answerWait)
	defer deadline.Stop()
	var batch []jetstream.Msg
	for bytes := 0; len(batch) < n && (maxBytes == 0 || bytes < maxBytes); {
		var msg *nats.Msg
		select {
		case msg = <-p.came:
		case <-deadline.C:
			return batch, fmt.Errorf("no answer within %v", wait+answerWait)
		}
		switch {
		case !strings.HasPrefix(msg.Subject, p.inbox):
			batch = append(batch, &pulled{msg: msg, conn: p.conn})
			bytes += msg.Size()
		case msg.Subject == inbox:
			left, err := over(msg)
			if err != nil {
				return batch, err
			}
			n -= left
			if n == 0 && msg.Header.Get("Status") == tooLarge {
				return batch, fmt.Errorf("%w: than %d bytes", ErrLarger, maxBytes)
			}
		}
	}
	return batch, nil
}

// over reads the server's word that a request is over: how many messages less than requested it delivers. Those it does
// deliver may be still to come.
func over(word *nats.Msg) (left int, err error) {
	status, text := word.Header.Get("Status"), word.Header.Get("Description")
	switch {
	case status == "408", status == tooLarge && (text == "Batch Completed" || text == "Message Size Exceeds MaxBytes"):
		return strconv.Atoi(word.Header.Get("Nats-Pending-Messages"))
	case status == "503":
		return 0, nats.ErrNoResponders
	default:
		return 0, fmt.Errorf("server says: %s %s", status, text)
	}
}

// Close ends the subscription. With giveBack what came and was not returned is delivered again at once; that is not for
// messages of a stream that is no more.
func (p *Puller) Close(giveBack bool) {
	_ = p.sub.Unsubscribe() // fails only when the connection is closed
	for len(p.came) > 0 {
		if msg := <-p.came; giveBack && !strings.HasPrefix(msg.Subject, p.inbox) {
			_ = (&pulled{msg: msg, conn: p.conn}).Nak() // it is delivered again in any case, later
		}
	}
}
