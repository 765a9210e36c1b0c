package graph

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text escapes a character beyond the first 65,536 as two halves, \ud83d\ude00 (RFC 8259, 7; GraphQL, 2.9.4). Half of one is no
// character. encoding/json and gqlparser put U+FFFD in its place and say nothing, so that something else would be stored than
// was sent; and gqlparser does the same to whole pairs. So both are looked for before they are parsed.

var errSurrogate = refuse(http.StatusBadRequest, "TEXT_MALFORMED", `a string holds half of a character (a lone surrogate such as \ud800); send whole characters`)

// halved reports whether JSON text has half of a character. Backslashes stand in strings only, there.
func halved(text string) bool {
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return false
		}
		_, n := escaped(text[i:])
		if n == 0 {
			return true
		}
		text = text[i+n:]
	}
}

// escaped reads the escape that text begins with: how long it is, and which character it is if it is one of two halves. 0 long is
// half of a character.
func escaped(text string) (rune, int) {
	r, ok := unit(text)
	switch {
	case !ok:
		return 0, min(2, len(text))
	case !utf16.IsSurrogate(r):
		return 0, 6
	}
	second, _ := unit(text[6:])
	if whole := utf16.DecodeRune(r, second); whole != utf8.RuneError {
		return whole, 12
	}
	return 0, 0
}

// unit reads \uXXXX.
func unit(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

// wholeCharacters returns the document with the characters in place of pairs of halves. False if there is half of one. What is no
// document comes back as it is: the parser says why.
func wholeCharacters(document string) (string, bool) {
	if !strings.Contains(document, `\u`) {
		return document, true
	}
	var out strings.Builder
	for rest := document; rest != ""; {
		n := 1
		switch {
		case rest[0] == '#':
			if n = strings.IndexAny(rest, "\r\n"); n < 0 { // either ends a comment
				n = len(rest)
			}
		case strings.HasPrefix(rest, `"""`):
			n = block(rest)
		case rest[0] == '"':
			text, length, ok := quotedText(rest)
			if !ok {
				return "", false
			}
			out.WriteString(text)
			rest = rest[length:]
			continue
		}
		out.WriteString(rest[:n])
		rest = rest[n:]
	}
	return out.String(), true
}

// until returns where behind end is, the text's end if it isn't there.
func until(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i + len(end)
	}
	return len(text)
}

// block returns the length of a block string, in which \u is no escape.
func block(text string) int {
	at := 3
	for {
		n := until(text[at:], `"""`)
		at += n
		if at >= len(text) || !strings.HasSuffix(text[:at], `\"""`) {
			return at
		}
	}
}

// quotedText reads a string in quotes and returns it with whole characters, and how long it was.
func quotedText(text string) (whole string, length int, ok bool) {
	var out strings.Builder
	out.WriteByte('"')
	for i := 1; i < len(text); {
		switch text[i] {
		case '"', '\n', '\r': // the parser complains of an open one
			out.WriteByte(text[i])
			return out.String(), i + 1, true
		case '\\':
			r, n := escaped(text[i:])
			if n == 0 {
				return "", 0, false
			}
			if r != 0 {
				out.WriteRune(r)
			} else {
				out.WriteString(text[i : i+n])
			}
			i += n
		default:
			out.WriteByte(text[i])
			i++
		}
	}
	return out.String(), len(text), true
}
