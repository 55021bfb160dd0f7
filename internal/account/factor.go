package account

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

const (
	totpPeriod    = 30 // seconds, RFC 6238
	totpSkew      = 1  // periods to either side
	totpSecret    = 20 // bytes, RFC 4226 section 4 R6
	recoveryCodes = 10
)

// A factor is the second factor of an account: TOTP (RFC 6238: SHA-1, 30 s, 6 digits), and recovery codes for the day when
// the telephone is lost.
type factor struct {
	Secret   []byte   `json:"secret"`
	LastStep int64    `json:"lastStep"` // of the newest code that was used: it and all before are no longer good
	Recovery [][]byte `json:"recovery"` // hashes of the codes that are left
}

func (f factor) check() error {
	if len(f.Secret) != totpSecret || len(f.Recovery) > recoveryCodes {
		return errors.New("a second factor of the wrong form")
	}
	for _, h := range f.Recovery {
		if len(h) != hashSize {
			return errors.New("a recovery code of the wrong length")
		}
	}
	return nil
}

// How somebody has signed in.
const (
	HowTOTP     = "password and TOTP"
	HowRecovery = "password and recovery code"
	HowOIDC     = "OpenID Connect"
)

// accept checks a code, of either sort, and returns the factor as it is once the code has been used.
func (f factor) accept(code string, now time.Time) (used factor, how string, ok bool) {
	code = trimCode(code)
	if len(code) == 6 {
		step, ok := f.totpStep(code, now)
		f.LastStep = step
		return f, HowTOTP, ok
	}
	sum := codeHash(code)
	left := make([][]byte, 0, len(f.Recovery))
	for _, h := range f.Recovery {
		if subtle.ConstantTimeCompare(h, sum) == 1 {
			ok = true
		} else {
			left = append(left, h)
		}
	}
	f.Recovery = left
	return f, HowRecovery, ok
}

// totpStep finds the step, later than the last one that was used, whose code this is. RFC 6238 section 5.2 wants a code
// taken once only.
func (f factor) totpStep(code string, now time.Time) (step int64, ok bool) {
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(f.Secret)
	for s := now.Unix()/totpPeriod - totpSkew; s <= now.Unix()/totpPeriod+totpSkew; s++ {
		want, err := totp.GenerateCode(secret, time.Unix(s*totpPeriod, 0))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > f.LastStep {
			return s, true
		}
	}
	return f.LastStep, false
}

// newRecovery makes recovery codes: the text for the owner, once, and the hashes to keep.
func newRecovery() (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		c := newCode(16)
		codes, hashes = append(codes, c), append(hashes, codeHash(c))
	}
	return codes, hashes
}

// codeAlphabet has neither 0 and O nor 1 and I and L.
const codeAlphabet = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"

// newCode draws n characters, in groups of four: what people copy from paper. Each is worth 4.95 bits, so that 16 have 79:
// too many to try even for somebody who has the hash.
func newCode(n int) string {
	var b strings.Builder
	for i := 0; i < n; {
		for _, r := range random(n) {
			// 248 is the greatest multiple of 31 in a byte: what lies above would make some characters likelier.
			if r >= 248 || i == n {
				continue
			}
			if i > 0 && i%4 == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(codeAlphabet[int(r)%len(codeAlphabet)])
			i++
		}
	}
	return b.String()
}

// codeHash is what is kept of a code. Case, blanks and hyphens are the typist's.
func codeHash(code string) []byte {
	if len(code) > 256 {
		code = code[:256]
	}
	sum := sha256.Sum256([]byte(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(code))))
	return sum[:]
}

// show shows a TOTP secret the ways in which authenticator applications take it.
func (a *Accounts) show(e enrolment) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: a.options.Issuer, AccountName: e.name, Secret: e.secret, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return Enrolment{}, fmt.Errorf("make a TOTP key: %w", err)
	}
	img, err := key.Image(240, 240)
	if err != nil {
		return Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	return Enrolment{Name: e.name, URI: key.URL(), Secret: key.Secret(), PNG: b.Bytes()}, nil
}
