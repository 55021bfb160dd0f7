package regulation

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxKey is how many bytes of a name, a user or a patient are told apart: a finding is an entry, and what somebody sends must make neither it nor an answer too long.
const maxKey = 200

// Shortened cuts a name or an identifier that has more than 200 bytes, and leaves what tells it from others that begin alike. What is no UTF-8 could not be written
// down either.
func Shortened(s string) string {
	if len(s) > maxKey {
		sum := sha256.Sum256([]byte(s))
		s = s[:maxKey-40] + "\u2026" + hex.EncodeToString(sum[:16])
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// brief cuts a text that is longer than what a person may enter.
func brief(s string) string {
	if len(s) > longestText {
		s = strings.ToValidUTF8(s[:longestText-len("\u2026")], "") + "\u2026"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
