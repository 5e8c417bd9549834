package chaos

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// scraper adds up the counters of the consumers, also over restarts, which set them to 0.
type scraper struct {
	addresses []string
	client    http.Client

	mu   sync.Mutex
	base map[string]float64
	last map[string]float64
}

func newScraper(addresses []string) *scraper {
	return &scraper{addresses: addresses, client: http.Client{Timeout: time.Second}, base: map[string]float64{}, last: map[string]float64{}}
}

// total asks the consumers that answer, and gives the sum of the counters whose name begins so.
func (s *scraper) total(name string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, address := range s.addresses {
		s.read(address)
	}
	sum := 0.0
	for key, value := range s.last {
		if strings.HasPrefix(key[strings.Index(key, " ")+1:], name) {
			sum += s.base[key] + value
		}
	}
	return sum
}

func (s *scraper) read(address string) {
	response, err := s.client.Get("http://" + address + "/metrics")
	if err != nil {
		return
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || !strings.HasPrefix(name, "katib_stream_") || !strings.Contains(name, "_total") {
			continue
		}
		key := address + " " + name
		if value < s.last[key] {
			s.base[key] += s.last[key]
		}
		s.last[key] = value
	}
}
