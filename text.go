package hippad

import (
	"strings"
	"unicode"
)

// Fold returns a text as searches for texts compare it: without regard to case, to the accents of Latin letters, or to how
// many blanks there are (FHIR R4 search, string).
func Fold(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' || c <= ' ' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			blank = b.Len() > 0
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		switch r = unicode.ToLower(r); {
		case r < 0xc0:
			b.WriteRune(r)
		case r == 'ß':
			b.WriteString("ss")
		case r == 'æ':
			b.WriteString("ae")
		case r == 'œ':
			b.WriteString("oe")
		case unicode.Is(unicode.Mn, r): // an accent on its own
		default:
			b.WriteRune(bare(r))
		}
	}
	return b.String()
}

// letters lists the accented forms of Latin letters, in lower case (Latin-1 Supplement, Latin Extended-A and what Vietnamese and
// Romanian add most often).
var letters = func() map[rune]rune {
	m := make(map[rune]rune)
	for letter, accented := range map[rune]string{
		'a': "àáâãäåāăąǎạảấầẩẫậắằẳẵặ", 'c': "çćĉċč", 'd': "ďđð", 'e': "èéêëēĕėęěẹẻẽếềểễệ", 'g': "ĝğġģǧ", 'h': "ĥħ",
		'i': "ìíîïĩīĭįıǐịỉ", 'j': "ĵ", 'k': "ķ", 'l': "ĺļľŀł", 'n': "ñńņňŋ", 'o': "òóôõöøōŏőǒọỏốồổỗộớờởỡợơ", 'r': "ŕŗř",
		's': "śŝşšș", 't': "ţťŧț", 'u': "ùúûüũūŭůűųǔụủứừửữựư", 'w': "ŵẁẃẅ", 'y': "ýÿŷỳỵỷỹ", 'z': "źżž",
	} {
		for _, r := range accented {
			m[r] = letter
		}
	}
	return m
}()

func bare(r rune) rune {
	if letter, ok := letters[r]; ok {
		return letter
	}
	return r
}

// prefixes returns how many bytes of a folded text in a field the index knows it by, ascending. A longer beginning cuts what
// has to be looked at; each costs a term of every entry.
func prefixes(f Field) []int {
	switch f {
	case FieldAgentName, FieldEntityName:
		return namePrefixes[:]
	case FieldAddress:
		return addressPrefixes[:]
	}
	return nil
}

var (
	namePrefixes    = [...]int{4}
	addressPrefixes = [...]int{7, 11}
)

// maxWords bounds the words of one text by which it is found.
const maxWords = 8

// starts calls f with every place from which a text is searched: its beginning and, in names, that of each word.
func starts(field Field, folded string, f func(rest string)) {
	f(folded)
	if field == FieldAddress {
		return
	}
	for range maxWords - 1 {
		i := strings.IndexAny(folded, " ,;^<")
		if i < 0 {
			return
		}
		folded = strings.TrimLeft(folded[i:], " ,;^<")
		if folded == "" {
			return
		}
		f(folded)
	}
}

// startsWith tells whether a folded text, or one of its words, begins with what is asked for.
func startsWith(field Field, folded, asked string) (yes bool) {
	starts(field, folded, func(rest string) { yes = yes || strings.HasPrefix(rest, asked) })
	return yes
}

// cut returns the term of the first n bytes of a folded text. Its field is one that nobody can ask for.
func cut(f Field, s string, n int) Term {
	switch f {
	case FieldAgentName:
		f = "agent-name~"
	case FieldEntityName:
		f = "entity-name~"
	default:
		f = "address~"
	}
	return Term{f, s[:n]}
}
