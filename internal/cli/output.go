package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
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

// WriteJSON writes v as indented JSON and a newline.
func WriteJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
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
