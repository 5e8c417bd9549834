package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// Format is what a command prints: text for people, or JSON.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
)

var _ pflag.Value = (*Format)(nil)

// AddFlag defines -o, --output, with text as its default.
func (f *Format) AddFlag(flags *pflag.FlagSet) {
	*f = Text
	flags.VarP(f, "output", "o", "what to print: text or json")
}

// Set takes "text" or "json".
func (f *Format) Set(text string) error {
	if text != string(Text) && text != string(JSON) {
		return fmt.Errorf("%q is neither text nor json", text)
	}
	*f = Format(text)
	return nil
}

func (f *Format) String() string { return string(*f) }

// Type is what help calls the value.
func (f *Format) Type() string { return "format" }

// WriteJSON writes v as indented JSON and a newline, made printable.
func WriteJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(PrintableJSON(text.Bytes()))
	return err
}

// PrintableJSON is JSON of the same value in which what could steer a terminal is escaped: encoding/json leaves
// characters above ASCII as they are, and among those are control characters, too.
func PrintableJSON(text []byte) []byte {
	if bytes.IndexFunc(text, steers) < 0 {
		return text
	}
	var safe []byte
	for _, r := range string(text) {
		if !steers(r) {
			safe = utf8.AppendRune(safe, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) { // outside of strings JSON has nothing that steers
			safe = fmt.Appendf(safe, `\u%04x`, unit)
		}
	}
	return safe
}

func steers(r rune) bool {
	return !unicode.IsPrint(r) && r != '\n'
}

// WriteTable writes rows under a header in aligned columns. A nil header is left out. Cells are made Printable.
func WriteTable(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t") // errors stay in tw until Flush
			}
			fmt.Fprint(tw, Printable(cell))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// Printable is text as it is when a terminal can show it on one line, and otherwise quoted with escapes, so that what a
// stranger reported cannot steer the terminal.
func Printable(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	return strconv.Quote(text)
}
