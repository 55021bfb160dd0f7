package account

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hippad"
)

var errWrongCode = errors.New("wrong code")

// perPerson is how many sessions one person may have: with one more the least recently used one ends.
const perPerson = 8

// A Session is a browser that is signed in.
type Session struct {
	Cookie string // 32 random bytes in base64url; only its SHA-256 is kept
	Caller hippad.Caller
	Until  time.Time // when it ends whatever happens
	How    string    // HowTOTP, HowRecovery or HowOIDC
}

// String hides the cookie.
func (s Session) String() string { return "session of " + s.Caller.Principal.String() }

// GoString hides the cookie under %#v.
func (s Session) GoString() string { return s.String() }

// LogValue hides the cookie in slog.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

type session struct {
	account string // of a local account; empty for OpenID Connect
	how     string
	caller  hippad.Caller
	until   time.Time
	used    time.Time
}

// sessions are in memory only.
type sessions struct {
	most int
	idle time.Duration

	mu     sync.Mutex
	byHash map[[hashSize]byte]*session
}

func (s *sessions) open(n session, now, until time.Time) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byHash == nil {
		s.byHash = map[[hashSize]byte]*session{}
	}
	var oldest [hashSize]byte
	own := 0
	for k, v := range s.byHash {
		if s.over(v, now) {
			delete(s.byHash, k)
			continue
		}
		if v.caller.Principal.String() == n.caller.Principal.String() {
			if own++; own == 1 || v.used.Before(s.byHash[oldest].used) {
				oldest = k
			}
		}
	}
	if own >= perPerson {
		delete(s.byHash, oldest)
	}
	if len(s.byHash) >= s.most {
		return Session{}, hippad.Errorf(hippad.Busy, "too many people are signed in")
	}
	n.until, n.used = until, now
	cookie := newID()
	s.byHash[sha256.Sum256([]byte(cookie))] = &n
	return Session{Cookie: cookie, Caller: n.caller, Until: until, How: n.how}, nil
}

func (s *sessions) over(v *session, now time.Time) bool {
	return !now.Before(v.until) || now.Sub(v.used) >= s.idle
}

func (s *sessions) use(cookie string, now time.Time) (hippad.Caller, error) {
	key := sha256.Sum256([]byte(cookie))
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.byHash[key]
	if ok && s.over(v, now) {
		delete(s.byHash, key)
		ok = false
	}
	if !ok {
		return hippad.Caller{}, hippad.Errorf(hippad.Unauthorised, "nobody is signed in here, or no longer: sign in")
	}
	if now.After(v.used) {
		v.used = now
	}
	c := v.caller
	c.Roles = slices.Clone(c.Roles)
	return c, nil
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byHash, sha256.Sum256([]byte(cookie)))
}

// endAll ends every session of a local account but the one whose cookie is keep.
func (s *sessions) endAll(account, keep string) {
	spared := sha256.Sum256([]byte(keep))
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.byHash {
		if v.account == account && k != spared {
			delete(s.byHash, k)
		}
	}
}
