package barrier

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Nobody joins a flight whose last caller has left while it was boarding.
func TestCancelledFlightIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var flown atomic.Int32
		s := newFlights(func(ctx context.Context, _ question, _ *atomic.Uint64) (found, error) {
			if flown.Add(1) == 1 {
				<-release
			}
			return found{}, ctx.Err()
		})
		join := func(ctx context.Context) <-chan error {
			answer := make(chan error, 1)
			go func() {
				_, _, err := s.join(ctx, question{"f", "t"})
				answer <- err
			}()
			synctest.Wait()
			return answer
		}
		flying := join(t.Context())
		given, giveUp := context.WithCancel(t.Context())
		boarding := join(given)
		giveUp()
		if err := <-boarding; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		later := join(t.Context())
		close(release)
		for name, answer := range map[string]<-chan error{"flying": flying, "later": later} {
			if err := <-answer; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
