package chaos

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutant is a bug that is planted in the product, to see whether the checker finds it.
type mutant struct {
	name   string
	file   string
	change map[string]string // what stands there → what is put in its place
	// faults are those that let it show, mixed for some seconds.
	faults string
	// brief is for a janitor that has work all the time.
	brief bool
}

var planted = []mutant{
	{
		name: "no watermark check", file: "katibdb/filter.go", faults: "repeated|delivered again",
		change: map[string]string{"return s.receipts[key] || (numbered && key.number <= s.producers[key.producerKey].watermark)": "return s.receipts[key]"},
	},
	{
		name: "acknowledge before commit", file: "consumer/settle.go", faults: "^consumer killed|^all consumers|^database stopped",
		change: map[string]string{"	outcomes, err := w.commit(ctx, items)\n": "	for _, it := range items {\n		w.acknowledge(it)\n	}\n	outcomes, err := w.commit(ctx, items)\n"},
	},
	{
		name: "no checksum in the spool", file: "internal/spool/format.go", faults: "spool torn",
		change: map[string]string{"!r.shaped() || crc32.ChecksumIEEE(covered) != binary.LittleEndian.Uint32(data[4:])": "!r.shaped()"},
	},
	{
		name: "no lock on the trial", file: "katibdb/persist.go", faults: "trial deleted|delivered again|^consumer stopped|answers of commits",
		change: map[string]string{"s.lockTrials(ctx, keys.trials)": `s.readTrials(ctx, keys.trials, "")`},
	},
	{
		name: "janitor without its check", file: "consumer/janitor.go", faults: "^database read-only|^consumer killed|^all consumers", brief: true,
		change: map[string]string{
			"n := slices.Index(persisted, false)":                     "n := min(-1, slices.Index(persisted, false))",
			`return fmt.Errorf("look up what is persisted: %w", err)`: "err = nil",
			"min(below, info.AckFloor.Stream+1)":                      "max(below, min(below, info.AckFloor.Stream+1))",
		},
	},
	{
		name: "barrier from the consumer's counters", file: "barrier/barrier.go", faults: "^database stopped|^consumers-database slow",
		change: map[string]string{
			"	soon, cancel := context.WithTimeout(ctx, quick)\n": "	if c, err := b.js.Consumer(ctx, schema.Stream, schema.Consumer); err == nil && c.CachedInfo().NumPending == 0 {\n		return Result{}, nil\n	}\n	soon, cancel := context.WithTimeout(ctx, quick)\n",
		},
	},
	{
		name: "dead letters are not stored", file: "consumer/deadletter.go", faults: "poison",
		change: map[string]string{"failed[i] = w.storeDeadLetter(storing, it)": "_ = storing"},
	},
}

// TestMutants demands that the checker finds each planted bug, and nothing where there is none.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		return // make chaos-mutants asks for it
	}
	chosen := regexp.MustCompile(*mutants)
	for _, m := range append([]mutant{{name: "none", faults: "^database stopped|^database read-only|^all consumers|spool torn|trial deleted|poison", brief: true}}, planted...) {
		if chosen.MatchString(m.name) {
			t.Run(m.name, func(t *testing.T) { m.try(t) })
		}
	}
}

func (m mutant) try(t *testing.T) {
	bin := t.TempDir()
	build(t, bin, m.changes())
	const tries = 3
	var problems []string
	for i := range tries {
		c := run(t, topology{database: "mariadb", size: 1, brief: m.brief}, bin, regexp.MustCompile(m.faults), time.Duration(20+20*i)*time.Second)
		if problems = c.verdictsOnly(); len(problems) > 0 || m.file == "" {
			fmt.Fprintf(os.Stderr, "chaos-mutants: %s: %d violations; %s\n", m.name, len(problems), strings.Join(problems[:min(3, len(problems))], "; "))
			break
		}
	}
	switch {
	case m.file == "" && len(problems) > 0:
		t.Errorf("no bug was planted, and the checker found %d: %v", len(problems), problems)
	case m.file != "" && len(problems) == 0:
		t.Errorf("the checker did not find it")
	}
}

func (m mutant) changes() changes {
	all := changes{}
	if m.file != "" {
		all[m.file] = m.change
	}
	if m.brief {
		all["consumer/config.go"] = map[string]string{"c.History < time.Minute": "c.History < 0"}
	}
	return all
}
