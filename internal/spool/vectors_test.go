package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// vectors is testdata/vectors.json: what every implementation must find in the files beside it, and write into them.
type vectors struct {
	About   string   `json:"about"`
	Vectors []vector `json:"vectors"`
}

type vector struct {
	Name string `json:"name"`
	File string `json:"file"`
	// Invalid says that the header is; then nothing else is said.
	Invalid     bool            `json:"invalid,omitempty"`
	Description *Description    `json:"description,omitempty"`
	Messages    []vectorMessage `json:"messages,omitempty"`
	Torn        bool            `json:"torn,omitempty"`
	Damaged     bool            `json:"damaged,omitempty"`
	// End is where a writer goes on.
	End int `json:"end,omitempty"`
	// Writes are the operations that make exactly this file, zeros behind it left out; null when a writer never makes it.
	Writes []operation `json:"writes"`

	make func([]byte) []byte // what else is done to it, which a writer never does
}

type vectorMessage struct {
	Number  uint64   `json:"number"`
	Lines   []string `json:"lines"`
	Final   bool     `json:"final,omitempty"`
	Settled bool     `json:"settled,omitempty"`
}

type operation struct {
	Op     string `json:"op"`
	Number uint64 `json:"number"`
	Line   string `json:"line,omitempty"`
	Keep   int    `json:"keep,omitempty"`
	Rest   uint64 `json:"rest,omitempty"`
}

var described = Description{Namespace: "default", Trial: "my-trial", Producer: "019aa1f2c3d47e5f8a9b0c1d2e3f4a5b"}

func line(n int) string {
	return fmt.Sprintf(`{"time":"2026-11-24T12:00:00.%06dZ","step":%d,"metrics":{"loss":0.%d}}`+"\n", n, n, n)
}

func lines(numbers ...int) []string {
	all := []string{}
	for _, n := range numbers {
		all = append(all, line(n))
	}
	return all
}

func events(number uint64, numbers ...int) []operation {
	var all []operation
	for _, n := range numbers {
		all = append(all, operation{Op: "event", Number: number, Line: line(n)})
	}
	return all
}

func splits(number uint64, keep int, rest uint64) []operation {
	return []operation{{Op: "split", Number: number, Keep: keep, Rest: rest}}
}
func settles(number uint64) []operation { return []operation{{Op: "settled", Number: number}} }
func finals(number uint64) []operation  { return []operation{{Op: "final", Number: number}} }

func join(parts ...[]operation) []operation {
	var all []operation
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// render is the file that the operations make, by nothing but the format's description.
func render(t *testing.T, operations []operation) []byte {
	t.Helper()
	data, err := described.header()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operations {
		switch op.Op {
		case "event":
			data = append(data, raw(kindEvent, op.Number, []byte(op.Line))...)
		case "split":
			payload := binary.LittleEndian.AppendUint32(nil, uint32(op.Keep))
			data = append(data, raw(kindSplit, op.Number, binary.LittleEndian.AppendUint64(payload, op.Rest))...)
		case "settled":
			data = append(data, raw(kindSettled, op.Number, nil)...)
		case "final":
			data = append(data, raw(kindFinal, op.Number, nil)...)
		}
	}
	return data
}

func raw(kind byte, number uint64, payload []byte) []byte {
	covered := append(binary.LittleEndian.AppendUint64([]byte{kind}, number), payload...)
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(covered)))
	data = binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(covered))
	data = append(data, covered...)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	return data
}

func head(description string) []byte {
	data := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(description)))
	data = binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE([]byte(description)))
	data = append(data, description...)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	return data
}

// flipped changes the byte in front of which there are so many.
func flipped(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[at] ^= 0x40
		return data
	}
}

func cutBy(bytes int) func([]byte) []byte {
	return func(data []byte) []byte { return data[:len(data)-bytes] }
}

func zeros(n int) func([]byte) []byte {
	return func(data []byte) []byte { return append(data, make([]byte, n)...) }
}

func adding(records ...[]byte) func([]byte) []byte {
	return func(data []byte) []byte { return append(data, bytes.Join(records, nil)...) }
}

func is(text []byte) func([]byte) []byte { return func([]byte) []byte { return text } }

func splitPayload(keep uint32, rest uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, keep), rest)
}

func TestVectors(t *testing.T) {
	table := vectorTable()
	said := vectors{About: "Files of the spool (docs/spool.md), and what a reader must find in them. A file is cut after its last record, or has a few zeros behind it."}
	for _, v := range table {
		v.File = strings.NewReplacer(" ", "-", ",", "").Replace(v.Name) + ".spool"
		if !v.Invalid {
			v.Description = &described
		}
		data := render(t, v.Writes)
		if v.make != nil {
			data = v.make(data)
		}
		if v.End == 0 && !v.Invalid {
			v.End = len(data)
		}
		said.Vectors = append(said.Vectors, v)
		t.Run(v.Name, func(t *testing.T) {
			compare(t, filepath.Join("testdata", v.File), data)
			checkReads(t, v, data)
		})
		if v.make != nil {
			said.Vectors[len(said.Vectors)-1].Writes = nil
		}
	}
	text, err := json.MarshalIndent(said, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/vectors.json", append(text, '\n'))
}

// compare holds a file of testdata to what it should be, or makes it so.
func compare(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says; if the table is right run go test ./internal/spool -run TestVectors -update", path)
	}
}

func checkReads(t *testing.T, v vector, data []byte) {
	t.Helper()
	content, err := Read(data)
	if v.Invalid {
		if !errors.Is(err, ErrNotSpool) {
			t.Errorf("read: %v, want %v", err, ErrNotSpool)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := []vectorMessage{}
	for _, m := range content.Messages {
		found := vectorMessage{m.Number, []string{}, m.Final, m.Settled}
		for l := range strings.Lines(string(m.Body)) {
			found.Lines = append(found.Lines, l)
		}
		if m.Events != len(found.Lines) {
			t.Errorf("message %d: %d events, %d lines", m.Number, m.Events, len(found.Lines))
		}
		got = append(got, found)
	}
	want := append([]vectorMessage{}, v.Messages...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("messages\n%v, want\n%v", got, want)
	}
	if content.Description != *v.Description || content.Torn != v.Torn || content.Damaged != v.Damaged || content.end != v.End {
		t.Errorf("%+v, torn %v, damaged %v, end %d; want %v, %v, %d", content.Description, content.Torn, content.Damaged, content.end, v.Torn, v.Damaged, v.End)
	}
}
