package metricline

import (
	"bytes"
	"iter"
)

// pairs are the matches of DefaultFilter in a line, found many times as fast as by the expression: around each sign there
// is a name, and white space, and what there is of a number. A test holds it to the expression.
func pairs(line []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for {
			sign := bytes.IndexByte(line, '=')
			if sign < 0 {
				return
			}
			name, rest := lastName(line[:sign]), line[sign+1:]
			if len(name) == 0 {
				line = rest
				continue
			}
			rest = rest[count(rest, isSpace):]
			end := numberEnd(rest)
			if !yield(name, rest[:end]) {
				return
			}
			line = rest[end:]
		}
	}
}

// lastName is the name that ends a text, but for white space.
func lastName(text []byte) []byte {
	end := len(text)
	for end > 0 && isSpace(text[end-1]) {
		end--
	}
	begin := end
	for begin > 0 && isWord(text[begin-1]) {
		begin--
	}
	return text[begin:end]
}

// numberEnd is how much of the text's beginning is a number, or some of a number's parts in their order.
func numberEnd(text []byte) int {
	end := signEnd(text)
	end += count(text[end:], isDigit)
	if rest := text[end:]; len(rest) > 1 && rest[0] == '.' && isDigit(rest[1]) {
		end += 1 + count(rest[1:], isDigit)
	}
	if rest := text[end:]; len(rest) > 0 && rest[0]|0x20 == 'e' {
		sign := 1 + signEnd(rest[1:])
		if digits := count(rest[sign:], isDigit); digits > 0 {
			end += sign + digits
		}
	}
	return end
}

func signEnd(text []byte) int {
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		return 1
	}
	return 0
}

// count is how many bytes at the text's beginning are of a kind.
func count(text []byte, is func(byte) bool) (n int) {
	for n < len(text) && is(text[n]) {
		n++
	}
	return n
}

func isWord(c byte) bool {
	return c == '_' || c == '-' || c == '|' || isDigit(c) || (c|0x20 >= 'a' && c|0x20 <= 'z')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }
