package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Size is a number of bytes as a flag: "512MiB", "10GiB", or plain bytes. K, M, G and T without "iB" mean the same.
type Size int64

var _ pflag.Value = (*Size)(nil)

var units = []string{"", "K", "M", "G", "T"}

// Set reads a size.
func (s *Size) Set(text string) error {
	number, unit := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		number, unit = text[:i], strings.TrimSpace(text[i:])
	}
	n, err := strconv.ParseInt(number, 10, 64)
	unit = strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(unit), "B"), "I")
	for exponent, known := range units {
		if err == nil && unit == known && n <= math.MaxInt64>>(10*exponent) {
			*s = Size(n << (10 * exponent))
			return nil
		}
	}
	return fmt.Errorf("%q is no size like 512MiB or 10GiB", text)
}

// String writes the size with the largest unit that leaves it whole.
func (s *Size) String() string {
	n, exponent := int64(*s), 0
	for n != 0 && n%1024 == 0 && exponent < len(units)-1 {
		n, exponent = n/1024, exponent+1
	}
	if exponent == 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + units[exponent] + "iB"
}

// Type is what help calls the value.
func (s *Size) Type() string { return "size" }
