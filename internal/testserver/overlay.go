package testserver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Overlay plants bugs for the compiler alone: it returns a file for -overlay of go build, and leaves those under root, the
// module's folder, as they are. For each file that is changed it is given what stands there, once, and what comes in its
// place; for one that is new, "" and its text.
func Overlay(t testing.TB, root string, changes map[string]map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for name, change := range changes {
		original, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(original)
		if _, isNew := change[""]; err != nil && !isNew {
			t.Fatal(err)
		}
		replacement := filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replacement, []byte(planted(t, name, string(text), change)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[original] = replacement
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func planted(t testing.TB, name, text string, change map[string]string) string {
	t.Helper()
	for before, after := range change {
		if before == "" && text == "" {
			return after
		}
		if n := strings.Count(text, before); n != 1 {
			t.Fatalf("%s holds %d times, and not once: %s", name, n, before)
		}
		text = strings.Replace(text, before, after, 1)
	}
	return text
}
