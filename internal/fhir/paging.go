package fhir

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// pageParameter has the token of a page. Beside it only the form of the answer can be chosen.
const pageParameter = "_page"

// A turn is a page of a search: what is asked, and from where it goes on. Sealed it is the token of a link, so that neither the
// question nor a name in it can be read by whoever sees the address. Everything is in it: no server keeps a page in mind.
type turn struct {
	Base  string    `json:"base"`           // the path of the base that made it
	Query string    `json:"query"`          // the parameters that are known, encoded as in an address
	Asked time.Time `json:"asked,omitzero"` // when the first page was asked for: what ap means
	// Until is when the last page of a search ends whose order puts new entries at its end: the log is never read to its end by
	// who reads slowly, because every reading is an entry too.
	Until time.Time     `json:"until,omitzero"`
	After *hippad.Place `json:"after,omitzero"` // the last entry of the page before; nil for the first page
	Total *int          `json:"total,omitzero"` // how many entries answer, if that was counted
}

// continued narrows a query to the entries behind the pages before.
func (t turn) continued(q hippad.Query) hippad.Query {
	if t.After == nil {
		return q
	}
	switch {
	case q.ByTime:
		q.Beyond = t.After
	case q.Ascending:
		q.After = &t.After.Index
	default:
		q.Before = &t.After.Index
	}
	if (q.ByTime || q.Ascending) && !t.Until.IsZero() {
		q.Received = append(q.Received, []hippad.Period{{End: t.Until}})
	}
	return q
}

// A sealer is the key that a Handler makes up when it is given none.
type sealer struct {
	once sync.Once
	aead cipher.AEAD
}

func (s *sealer) get() cipher.AEAD {
	s.once.Do(func() {
		key := make([]byte, 32)
		rand.Read(key) // never fails
		block, _ := aes.NewCipher(key)
		s.aead, _ = cipher.NewGCMWithRandomNonce(block)
	})
	return s.aead
}

// token seals a turn.
func (h *Handler) token(t turn) string {
	text := encode(t)
	if h.Seal != nil {
		text = h.Seal(text)
	} else {
		text = h.sealer.get().Seal(nil, nil, text, nil)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

var errToken = hippad.Errorf(hippad.Invalid, "parameter %s: this page is not there", pageParameter).
	WithHint("a link to a page is followed as it is, and may end when the server is started again: search again")

// turnOf opens a token that this base has made.
func (x *exchange) turnOf(token string) (t turn, err error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return t, errToken
	}
	if x.Unseal != nil {
		text, err = x.Unseal(text)
	} else {
		text, err = x.sealer.get().Open(nil, nil, text, nil)
	}
	if err != nil || json.Unmarshal(text, &t) != nil || t.Base != x.base.path {
		return t, errToken
	}
	return t, nil
}

// parameters returns those of the address and, of POST _search, those of the form (FHIR R4 http, search).
func (x *exchange) parameters(session hippad.Session) (url.Values, error) {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the query part of the address is not well-formed")
	}
	if x.r.Method != http.MethodPost {
		return values, nil
	}
	media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	if media = strings.ToLower(strings.TrimSpace(media)); media != "" && media != "application/x-www-form-urlencoded" {
		return nil, status(http.StatusUnsupportedMediaType, "not-supported", "want Content-Type application/x-www-form-urlencoded")
	}
	body, err := readAtMost(x.r.Body, 4*maxQuery) // every character may be escaped
	switch {
	case errors.Is(err, errTooLong):
		return nil, x.tooLarge(session, 4*maxQuery+1, 4*maxQuery)
	case err != nil:
		return nil, hippad.Errorf(hippad.Invalid, "the body ended early")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the form is not well-formed")
	}
	for name, list := range form {
		values[name] = append(values[name], list...)
	}
	if named := form.Get("_format"); named != "" {
		return values, x.negotiate(named)
	}
	return values, nil
}

// asked finds out which page of which search is wanted. token is that of the page, if it came by one.
func (x *exchange) asked(values url.Values) (s search, t turn, token string, err error) {
	t = turn{Base: x.base.path, Asked: x.now().UTC()}
	if list, ok := values[pageParameter]; ok {
		for name := range values {
			if len(list) != 1 || name != pageParameter && name != "_format" && name != "_pretty" {
				return s, t, "", hippad.Errorf(hippad.Invalid, "parameter %s: it goes alone", pageParameter)
			}
		}
		if t, err = x.turnOf(list[0]); err != nil {
			return s, t, "", err
		}
		token = list[0]
		if values, err = url.ParseQuery(t.Query); err != nil {
			return s, t, "", errToken
		}
	}
	if s, err = parseSearch(values, x.base.release.set(), t.Asked); err != nil {
		return s, t, "", err
	}
	if x.base.needsDate && !s.dated {
		return s, t, "", status(http.StatusBadRequest, "required", "parameter date: at least one is mandatory here (IHE ITI-81)")
	}
	if len(s.unknown) > 0 && preferred(x.r, "handling") == "strict" {
		return s, t, "", status(http.StatusBadRequest, "not-supported", unknownText(s.unknown))
	}
	known := make(url.Values, len(values))
	for name, list := range values {
		known[name] = list
	}
	for _, name := range s.unknown {
		delete(known, name)
	}
	t.Query = known.Encode()
	return s, t, token, nil
}

// root is where the caller reaches this server, for links that stand in an answer: FHIR wants them absolute.
func (x *exchange) root() string {
	switch {
	case x.Base != "":
		return strings.TrimRight(x.Base, "/")
	case x.r.Host != "":
		return "https://" + x.r.Host
	}
	return ""
}

func (x *exchange) pageURL(token string) string {
	return x.root() + x.base.path + typePath + "?" + pageParameter + "=" + token
}

// links returns the links of a page; next is nil on the last one. What a caller asked in the address is in the link to itself; what
// it kept out of the address by POST stays out.
func (x *exchange) links(t turn, token string, next *turn) []linkJSON {
	start := turn{Base: t.Base, Query: t.Query, Asked: t.Asked}
	self := x.root() + x.base.path + typePath
	first := self
	switch {
	case token != "":
		self, first = x.pageURL(token), x.pageURL(x.token(start))
	case x.r.Method == http.MethodPost:
		self = x.pageURL(x.token(start))
		first = self
	case t.Query != "":
		self += "?" + t.Query
		first = self
	}
	links := []linkJSON{{"self", self}, {"first", first}}
	if next != nil {
		links = append(links, linkJSON{"next", x.pageURL(x.token(*next))})
	}
	return links
}
