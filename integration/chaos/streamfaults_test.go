package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// repeatMessages stores messages again, after the duplicate window.
func repeatMessages(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return "", err
	}
	first, last := stream.CachedInfo().State.FirstSeq, stream.CachedInfo().State.LastSeq
	again := 0
	for range 200 {
		limited, cancel := context.WithTimeout(ctx, 3*time.Second)
		msg, err := stream.GetMsg(limited, first+r.Uint64N(last-first+1))
		if err == nil && time.Since(msg.Time) > 3*time.Second {
			repeated := nats.NewMsg(msg.Subject)
			repeated.Header, repeated.Data = msg.Header, msg.Data
			ack, err := l.js.PublishMsg(limited, repeated)
			if err == nil && !ack.Duplicate && msg.Header.Get(schema.HeaderMsgID) != "" {
				again++
			}
		}
		cancel()
	}
	if again == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d messages were stored again", again), nil
}

// redeliver deletes the durable consumer, so that all that the stream holds is delivered again.
func redeliver(ctx context.Context, l *workload, _ *rand.Rand) (string, error) {
	duplicates := `katib_stream_messages_total{outcome="duplicate"}`
	before := l.metrics.total(duplicates)
	if err := l.js.DeleteConsumer(ctx, schema.Stream, schema.Consumer); err != nil {
		return "", nil // NATS is away; another time
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	evidence := ""
	poll(limited, 100*time.Millisecond, func(context.Context) bool {
		evidence = grown(l, duplicates, before, "messages were delivered and known")
		return evidence != ""
	})
	return evidence, nil
}

// poison publishes what can never be persisted, each kind of it.
func poison(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	before := l.metrics.total("katib_stream_dead_letters_total")
	l.mu.Lock()
	from := l.poisons
	l.mu.Unlock()
	const many = 1_000
	for i := from; i < from+many; i++ {
		msg := nats.NewMsg(schema.Subject{Namespace: "default", Trial: "poison", Producer: "me"}.String())
		msg.Header.Set(schema.HeaderMsgID, fmt.Sprintf("me:%d", i+1))
		msg.Data = pick(r, [][]byte{
			[]byte("no JSON"), []byte(`{"metrics":{}}`), []byte(`{"metrics":{"n":1},"time":"yesterday"}`),
			{0xff, 0xfe, 0},
			[]byte(`{"metrics":{"n":"` + string(make([]byte, 8)) + `"}}`), []byte(`{"metrics":{"n":1}` + "\n"),
		})
		stored := poll(ctx, 50*time.Millisecond, func(ctx context.Context) bool {
			limited, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			_, err := l.js.PublishMsg(limited, msg)
			return err == nil
		})
		if !stored {
			break
		}
		l.mu.Lock()
		l.poisons++
		l.mu.Unlock()
	}
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	evidence := ""
	poll(limited, 100*time.Millisecond, func(context.Context) bool {
		evidence = grown(l, "katib_stream_dead_letters_total", before, "dead letters")
		return evidence != ""
	})
	return evidence, nil
}

func deleteTrial(ctx context.Context, l *workload, _ *rand.Rand) (string, error) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	rows, err := l.deleteVictim(limited)
	if err != nil || rows == 0 {
		return "", err
	}
	return fmt.Sprintf("%d events were deleted", rows), nil
}

// tearSpool kills a producer and leaves half a record at the end of its file, as a machine that goes down does.
func tearSpool(ctx context.Context, l *workload, r *rand.Rand) (string, error) {
	trial := pick(r, []string{"go-a", "go-b", "py-b"})
	s := l.byName[trial]
	before, _ := s.counted()
	s.gate.Lock()
	err := s.kill()
	torn := 0
	if err == nil {
		torn, err = tearAll(l.spools[trial])
	}
	s.gate.Unlock()
	if err != nil || torn == 0 || startedAgain(ctx, s, before) == "" {
		return "", err
	}
	return fmt.Sprintf("%d files were torn", torn), nil
}

func tearAll(dir string) (torn int, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil {
		return 0, err
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // its producer has removed it
		}
		if tear(data) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				return torn, err
			}
			torn++
		}
	}
	return torn, nil
}

// tear puts a copy of the last record, under the next number and with a part of it wrong, to where the next would stand.
func tear(data []byte) bool {
	const mark = 9
	at := (16 + int(binary.LittleEndian.Uint32(data[8:])) + 7) &^ 7
	last, end, number := -1, at, uint64(0)
	for at+17 < len(data) {
		length := int(binary.LittleEndian.Uint32(data[at:]))
		if length < mark || at+8+length > len(data) || crc32.ChecksumIEEE(data[at+8:at+8+length]) != binary.LittleEndian.Uint32(data[at+4:]) {
			break
		}
		if data[at+8] == 1 {
			last = at
		}
		number = max(number, binary.LittleEndian.Uint64(data[at+9:]))
		at = (at + 8 + length + 7) &^ 7
		end = at
	}
	size := 0
	if last >= 0 {
		size = 8 + int(binary.LittleEndian.Uint32(data[last:]))
	}
	if last < 0 || end+size > len(data) {
		return false
	}
	copy(data[end:], data[last:last+size])
	binary.LittleEndian.PutUint64(data[end+9:], number+1)
	for i := end + 17; i < end+size; i++ {
		if data[i] >= '1' && data[i] <= '8' {
			data[i]++ // of each number, every digit: an event that nobody reported
		}
	}
	return true
}
