package completeness

import (
	"crypto/sha1" //nolint:gosec // RFC 5848 section 4.2.1 names it; nothing is proved with it here
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	maxCounter = 9_999_999_999 // RFC 5848 section 4.2: RSID, GBC and FMN have up to ten digits
	maxHashes  = 99            // CNT

	maxWindow  = 4096 // messages of one reporter whose hashes are kept
	maxWaiting = 1024 // hashes of one reporter whose messages have not come
	maxSigners = 16   // of one reporter
	maxGroups  = 256  // of one signer; by priority there are 192
)

// A block is a signature block (RFC 5848 section 4.2), without its signature.
type block struct {
	sha256        bool
	session       int64 // RSID; 0 when the signer cannot tell its sessions apart
	group         [2]int
	counter       int64 // GBC: signature blocks sent before it in this session, of all groups
	first         int64 // FMN: number of the first message
	hashes        []uint64
	isCertificate bool // an ssign-cert, of which only the session is read
}

// parseBlock reads the ssign or ssign-cert element of STRUCTURED-DATA; false if there is none or it is malformed.
func parseBlock(sd string) (b block, ok bool) {
	if !strings.Contains(sd, "[ssign") {
		return b, false
	}
	values := make(map[string]string, 12)
	keep := func(name, value string) { values[name] = value }
	if !params(sd, "ssign", keep) {
		clear(values)
		b.isCertificate = params(sd, "ssign-cert", keep)
		if !b.isCertificate {
			return b, false
		}
	}
	version := values["VER"]
	if len(version) != 4 || version[:2] != "01" || version[2] != '1' && version[2] != '2' {
		return b, false
	}
	b.sha256 = version[2] == '2'
	b.session = number(values["RSID"], 0, maxCounter)
	b.group = [2]int{int(number(values["SG"], 0, 3)), int(number(values["SPRI"], 0, 191))}
	if b.session < 0 || b.group[0] < 0 || b.group[1] < 0 || b.isCertificate {
		return b, b.session >= 0 && b.isCertificate
	}
	b.counter, b.first = number(values["GBC"], 0, maxCounter), number(values["FMN"], 1, maxCounter)
	count := number(values["CNT"], 1, maxHashes)
	texts := strings.Fields(values["HB"])
	if b.counter < 0 || b.first < 0 || count < 0 || int64(len(texts)) != count {
		return b, false
	}
	size := sha1.Size
	if b.sha256 {
		size = sha256.Size
	}
	for _, text := range texts {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != size {
			return b, false
		}
		b.hashes = append(b.hashes, binary.BigEndian.Uint64(sum))
	}
	return b, true
}

// hashOf is the beginning of the hash of a whole syslog message, from the '<' of PRI to its last octet (RFC 5848 section 4.2.7). 64 bits tell
// messages of a window apart; what is to be proved needs the signature, which is in the log.
func hashOf(message []byte, withSHA256 bool) uint64 {
	if withSHA256 {
		sum := sha256.Sum256(message)
		return binary.BigEndian.Uint64(sum[:])
	}
	sum := sha1.Sum(message)
	return binary.BigEndian.Uint64(sum[:])
}

// A signing is what is known of the signed messages of one reporter. Before the first block of a reporter its messages are not hashed,
// which costs nothing for the many who never sign.
type signing struct {
	sha1, sha256 bool
	window       []hashed // a ring of the newest maxWindow, the oldest at pos once it is full
	pos          int
	byHash       map[uint64]mark
	signers      map[origin]*signer
	waiting      int // of all groups
}

type hashed struct {
	Hash uint64 `json:"h"`
	Mark mark   `json:"m"`
}

// A signer is who sends signature blocks.
type signer struct {
	Session int64 `json:"s"`
	Next    int64 `json:"n"` // the block counter expected
	// Certificates since the last signature block: some signers count these too.
	Certificates int64    `json:"c,omitempty"`
	Begun        bool     `json:"b,omitempty"` // Next means something
	Groups       []*group `json:"g,omitempty"`
}

// A group is the messages that are numbered and signed together.
type group struct {
	Session int64     `json:"s"`
	ID      [2]int    `json:"g"`
	Next    int64     `json:"n"` // the message number expected
	Last    mark      `json:"m"` // the newest block
	Matched mark      `json:"a"` // the newest message that one of its hashes was of
	Open    []hole    `json:"o,omitempty"`
	Waiting []waiting `json:"w,omitempty"` // by number
}

// A waiting is a hash whose message has not come yet.
type waiting struct {
	Number int64  `json:"n"`
	Hash   uint64 `json:"h"`
	After  mark   `json:"a"`
	Block  mark   `json:"b"`
}

func newSigning() *signing {
	return &signing{byHash: map[uint64]mark{}, signers: map[origin]*signer{}}
}

// message takes in a message, for the blocks to come and those that were here before it.
func (g *signing) message(body []byte, m mark) {
	for _, with := range []bool{false, true} {
		if with && !g.sha256 || !with && !g.sha1 {
			continue
		}
		h := hashOf(body, with)
		if len(g.window) < maxWindow {
			g.window = append(g.window, hashed{h, m})
		} else {
			if old := g.window[g.pos]; g.byHash[old.Hash] == old.Mark {
				delete(g.byHash, old.Hash)
			}
			g.window[g.pos] = hashed{h, m}
			g.pos = (g.pos + 1) % maxWindow
		}
		g.byHash[h] = m
		if g.waiting > 0 {
			g.arrived(h, m)
		}
	}
}

// arrived takes a hash off those that are waited for.
func (g *signing) arrived(h uint64, m mark) {
	for _, s := range g.signers {
		for _, x := range s.Groups {
			if i := slices.IndexFunc(x.Waiting, func(w waiting) bool { return w.Hash == h }); i >= 0 {
				x.Waiting = slices.Delete(x.Waiting, i, i+1)
				x.Matched = m
				g.waiting--
			}
		}
	}
}

// oldest is the index of the oldest message whose hash is kept; -1 when none was dropped.
func (g *signing) oldest() int64 {
	if len(g.window) < maxWindow {
		return -1
	}
	return g.window[g.pos].Mark.Index
}

// block takes in a signature block, and returns how many blocks are missing before it, and how many messages cannot be checked.
func (g *signing) block(from origin, b block, m mark) (blocks, unchecked int64) {
	g.sha1, g.sha256 = g.sha1 || !b.sha256, g.sha256 || b.sha256
	s := g.signers[from]
	if s == nil {
		if len(g.signers) >= maxSigners {
			return 0, int64(len(b.hashes))
		}
		s = &signer{Session: b.session}
		g.signers[from] = s
	}
	newSession := b.session > s.Session || b.session == 0 && b.counter == 0 && b.first == 1 && s.Next > 1
	switch {
	case b.session < s.Session: // of a session that is over: repeated, or replayed
		return 0, 0
	case newSession:
		s.Session, s.Next, s.Certificates = b.session, 0, 0
		if b.session == 0 {
			g.forget(s)
		}
	}
	if b.isCertificate {
		s.Certificates++
		return 0, 0
	}
	if b.counter >= s.Next {
		if s.Begun {
			blocks = max(0, b.counter-s.Next-s.Certificates)
		}
		s.Next, s.Certificates = b.counter+1, 0
	}
	wasBegun := s.Begun
	s.Begun = true
	x := s.group(b)
	fresh := x == nil
	if fresh {
		if len(s.Groups) >= maxGroups {
			return blocks, int64(len(b.hashes))
		}
		x = &group{Session: b.session, ID: b.group, Next: b.first}
		if wasBegun && newSession { // heard from its beginning
			x.Next, x.Last = 1, m
		}
		s.Groups = append(s.Groups, x)
	}
	return blocks, g.hashes(x, b, m, fresh)
}

// hashes compares the hashes of a block with the messages that came. In the first block of a group, what is before the first message that
// did come is not judged: it may have come before anything was hashed.
func (g *signing) hashes(x *group, b block, m mark, fresh bool) (unchecked int64) {
	if b.first > x.Next {
		x.Open = append(x.Open, hole{x.Next, b.first - 1, x.Last, m})
	}
	matched := !fresh
	for i, h := range b.hashes {
		n := b.first + int64(i)
		covered := false
		if n < x.Next {
			if x.Open, covered = fill(x.Open, n); !covered {
				continue // judged when it was first signed: blocks overlap, so that one may be lost
			}
		}
		at, ok := g.byHash[h]
		switch {
		case ok:
			matched = true
			x.Matched = at
		case !matched:
		case g.oldest() > x.Matched.Index || g.waiting >= maxWaiting:
			unchecked++ // it may have come, and its hash is not kept any more
		default:
			x.Waiting = append(x.Waiting, waiting{n, h, x.Matched, m})
			g.waiting++
		}
	}
	x.Next, x.Last = max(x.Next, b.first+int64(len(b.hashes))), m
	return unchecked
}

func (s *signer) group(b block) *group {
	for _, x := range s.Groups {
		if x.Session == b.session && x.ID == b.group {
			return x
		}
	}
	return nil
}

func (g *signing) forget(s *signer) {
	for _, x := range s.Groups {
		g.waiting -= len(x.Waiting)
	}
	s.Groups = nil
}

// settle gives up what has not come for lateTime: missing are messages that were signed and did not come, unsigned are those whose
// blocks did not come, of which it cannot be told. Groups of sessions that are over are forgotten when nothing is open.
func (g *signing) settle(now time.Time, missing, unsigned func(origin, hole)) {
	for _, from := range slices.SortedFunc(maps.Keys(g.signers), origin.compare) {
		s := g.signers[from]
		for _, x := range s.Groups {
			n := 0
			for n < len(x.Waiting) && now.Sub(x.Waiting[n].Block.At) >= lateTime {
				w := x.Waiting[n]
				missing(from, hole{w.Number, w.Number, w.After, w.Block})
				n++
			}
			x.Waiting = slices.Delete(x.Waiting, 0, n)
			g.waiting -= n
			for len(x.Open) > maxHoles || len(x.Open) > 0 && now.Sub(x.Open[0].Before.At) >= lateTime {
				unsigned(from, x.Open[0])
				x.Open = slices.Delete(x.Open, 0, 1)
			}
		}
		s.Groups = slices.DeleteFunc(s.Groups, func(x *group) bool {
			return x.Session != s.Session && len(x.Waiting) == 0 && len(x.Open) == 0
		})
	}
}
