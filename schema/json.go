package schema

import (
	"encoding/json"
	"strconv"
	"strings"
)

// The functions here walk text that encoding/json has found valid. They cut instead of copying, which is what makes
// decoding keep up with the database, and they show what encoding/json hides: fields that stand twice, numbers as they
// were written, halves of surrogate pairs.

// eachField calls f with each field of a JSON object and its raw value. What is not an object is an *Error with the code.
func eachField(text string, code Code, what string, f func(name, value string) error) error {
	rest := skipSpace(text)
	if rest[0] != '{' {
		return refuse(code, "%s is %s, not an object", what, quote(rest))
	}
	rest = skipSpace(rest[1:])
	for rest[0] != '}' {
		end := valueEnd(rest)
		name, err := unquote(rest[:end])
		if err != nil {
			return err
		}
		rest = skipSpace(rest[end:])
		rest = skipSpace(rest[1:]) // the colon
		end = valueEnd(rest)
		if err := f(name, rest[:end]); err != nil {
			return err
		}
		rest = skipSpace(rest[end:])
		if rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
	return nil
}

func skipSpace(text string) string {
	for i := range len(text) {
		if !isSpace(text[i]) {
			return text[i:]
		}
	}
	return ""
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n'
}

// valueEnd is where the value at the beginning of text ends.
func valueEnd(text string) int {
	switch text[0] {
	case '"':
		return stringEnd(text)
	case '{', '[':
		return nestedEnd(text)
	}
	end := 0
	for end < len(text) && text[end] != ',' && text[end] != '}' && text[end] != ']' && !isSpace(text[end]) {
		end++
	}
	return end
}

func stringEnd(text string) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func nestedEnd(text string) int {
	depth := 0
	for i := 0; ; i++ {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// unquote gives the text of a JSON string.
func unquote(raw string) (string, error) {
	inner := raw[1 : len(raw)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	if halfSurrogate(inner) {
		return "", refuse(CodeUTF8, "%s escapes half a surrogate pair", quote(raw))
	}
	var text string
	err := json.Unmarshal([]byte(raw), &text)
	return text, err
}

func halfSurrogate(escaped string) bool {
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '\\' {
			continue
		}
		i++
		unit := codeUnit(escaped[i:])
		if unit < 0xD800 || unit > 0xDFFF {
			continue
		}
		low := 0
		if rest := escaped[i+5:]; unit < 0xDC00 && strings.HasPrefix(rest, `\u`) {
			low = codeUnit(rest[1:])
		}
		if low < 0xDC00 || low > 0xDFFF {
			return true
		}
		i += 10
	}
	return false
}

// codeUnit reads "uXXXX"; 0 for any other escape.
func codeUnit(escape string) int {
	if escape[0] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(escape[1:5], 16, 16)
	return int(unit)
}
