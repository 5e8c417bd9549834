package rank_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/katib-stream/katib-stream/internal/rank"
)

// The Python SDK holds to the same file.
func TestFind(t *testing.T) {
	text, err := os.ReadFile("testdata/ranks.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name        string
		Environment map[string]string
		Rank        int
		Variable    string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			got, found := rank.Find(func(name string) string { return v.Environment[name] })
			if want := (rank.Rank{Number: v.Rank, Variable: v.Variable}); got != want || found != (v.Variable != "") {
				t.Errorf("%v: %v, %v; want %v", v.Environment, got, found, want)
			}
		})
	}
}
