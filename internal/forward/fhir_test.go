package forward

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hippad"
)

// A fhirStub is a FHIR server that keeps what it is sent. What begins with "refuse" in outcomeDesc it answers 422.
type fhirStub struct {
	*httptest.Server
	CA string

	mu      sync.Mutex
	got     []string // of creates, and of entries of Bundles: "media body"
	bundles int
	auth    string
	// answer is asked first; another status than 0 is the answer. It may be nil.
	answer func(n int, r *http.Request) int
	calls  int
}

func newFHIRStub(t testing.TB) *fhirStub {
	s := &fhirStub{CA: filepath.Join(t.TempDir(), "ca.pem")}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.CA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *fhirStub) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.calls++
	s.auth = r.Header.Get("Authorization")
	if s.answer != nil {
		if status := s.answer(s.calls, r); status != 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(status)
			return
		}
	}
	one := func(media string, body []byte) int {
		if strings.Contains(string(body), `refuse`) {
			return 422
		}
		s.got = append(s.got, media+" "+string(body))
		return 201
	}
	switch r.URL.Path {
	case "/base/AuditEvent":
		w.WriteHeader(one(r.Header.Get("Content-Type"), body))
	case "/base":
		var b struct {
			ResourceType, Type string
			Entry              []struct {
				Resource json.RawMessage
				Request  struct{ Method, URL string }
			}
		}
		if err := json.Unmarshal(body, &b); err != nil || b.Type != "batch" || b.ResourceType != "Bundle" {
			w.WriteHeader(400)
			return
		}
		s.bundles++
		var out []string
		for _, e := range b.Entry {
			if e.Request.Method != "POST" || e.Request.URL != "AuditEvent" {
				w.WriteHeader(400)
				return
			}
			out = append(out, fmt.Sprintf(`{"response":{"status":"%d X"}}`, one(hippad.MediaFHIRJSON, e.Resource)))
		}
		fmt.Fprintf(w, `{"resourceType":"Bundle","type":"batch-response","entry":[%s]}`, strings.Join(out, ","))
	default:
		w.WriteHeader(404)
	}
}

func (s *fhirStub) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func toFHIR(t testing.TB, s *fhirStub, more string) *Config {
	return parse(t, fmt.Sprintf(`{"rules":[{"name":"ehr","to":"%s/base/","ca":%q,"since":"start"%s}]}`, s.URL, s.CA, more))
}

const auditEvent = `{"resourceType" : "AuditEvent",  "outcomeDesc":"%d \u00e6 <&>" , "x":1.50}`

// FHIR goes as it came, anything else as AuditEvent; what nobody can read is refused and counted.
func TestFHIR(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(" abc.def\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	xml := `<AuditEvent xmlns="http://hl7.org/fhir"> <x/></AuditEvent>`
	entries := []hippad.Entry{
		report(hippad.MediaFHIRJSON, fmt.Sprintf(auditEvent, 0)), report("application/fhir+json; fhirVersion=4.0", fmt.Sprintf(auditEvent, 1)),
		report(hippad.MediaFHIRXML, xml), report(hippad.MediaSyslog, "<85>1 a"), report(hippad.MediaXML, "bad xml"), report(hippad.MediaFHIRJSON, `{"refuse":1}`),
		report("application/json", fmt.Sprintf(auditEvent, 2)), report(hippad.MediaFHIRJSON, `not JSON`), report(hippad.MediaFHIRJSON, fmt.Sprintf(auditEvent, 3)),
	}
	for name, c := range map[string]struct {
		more    string
		bundles int
	}{"one by one": {``, 0}, "in Bundles": {`,"batch":3`, 1}} {
		t.Run(name, func(t *testing.T) {
			s, w := newFHIRStub(t), newWorld(t)
			w.log.add(entries...)
			w.start(toFHIR(t, s, c.more+fmt.Sprintf(`,"token_file":%q`, token)))
			if st := w.settled(); st.Refused != 2 || st.Delivered != 7 {
				t.Errorf("%+v", st)
			}
			got := s.received()
			for i, m := range got { // a Bundle has one media type for all
				got[i] = strings.Replace(m, "application/fhir+json; fhirVersion=4.0", hippad.MediaFHIRJSON, 1)
			}
			if want := []string{hippad.MediaFHIRJSON + " " + fmt.Sprintf(auditEvent, 0), hippad.MediaFHIRJSON + " " + fmt.Sprintf(auditEvent, 1),
				hippad.MediaFHIRXML + " " + xml, hippad.MediaFHIRJSON + " " + `{"outcomeDesc":"\u003c85\u003e1 a","resourceType":"AuditEvent"}`,
				hippad.MediaFHIRJSON + " " + fmt.Sprintf(auditEvent, 2), hippad.MediaFHIRJSON + " not JSON", hippad.MediaFHIRJSON + " " + fmt.Sprintf(auditEvent, 3)}; !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if s.auth != "Bearer abc.def" || s.bundles < c.bundles {
				t.Errorf("authorization %q, %d Bundles", s.auth, s.bundles)
			}
			eventually(t, "the refusal is told of", func() error {
				if told := w.told(&w.refused); len(told) == 0 || !strings.Contains(told[0], `"ehr": https://127.0.0.1:`) || !strings.Contains(told[0], "refused for good") {
					return fmt.Errorf("%q", told)
				}
				return nil
			})
		})
	}
	t.Run("everything as R4", func(t *testing.T) {
		s, w := newFHIRStub(t), newWorld(t)
		w.log.add(entries[0])
		w.start(toFHIR(t, s, `,"format":"r4"`))
		w.settled()
		if got := s.received(); len(got) != 1 || !strings.Contains(got[0], `{"outcomeDesc":`) {
			t.Errorf("%q", got)
		}
	})
}

// What each answer means. What may be put right stops the rule and loses nothing.
func TestFHIRAnswers(t *testing.T) {
	t.Parallel()
	for _, batch := range []string{``, `,"batch":4`} {
		for _, status := range []int{301, 401, 403, 404, 405, 408, 413, 429, 500, 503} {
			t.Run(fmt.Sprintf("%d%s", status, batch), func(t *testing.T) {
				t.Parallel()
				s, w := newFHIRStub(t), newWorld(t)
				away := true
				s.answer = func(int, *http.Request) int {
					if away {
						return status
					}
					return 0
				}
				var want []string
				for i := range 5 {
					body := fmt.Sprintf(auditEvent, i)
					w.log.add(report(hippad.MediaFHIRJSON, body))
					want = append(want, hippad.MediaFHIRJSON+" "+body)
				}
				w.start(toFHIR(t, s, batch))
				eventually(t, "the rule says why it waits", func() error {
					if st := w.now.Status()[0]; st.State != StateRetrying || st.Cause != fmt.Sprintf("the FHIR server answers %d", status) || st.Next != 0 || st.Refused != 0 {
						return fmt.Errorf("%+v", st)
					}
					return nil
				})
				s.mu.Lock()
				away = false
				s.mu.Unlock()
				if st := w.settled(); st.Delivered != 5 || st.Refused != 0 {
					t.Errorf("%+v", st)
				}
				if got := s.received(); !slices.Equal(got, want) {
					t.Errorf("%q", got)
				}
			})
		}
		for _, status := range []int{400, 409, 412, 415, 422} {
			t.Run(fmt.Sprintf("%d%s", status, batch), func(t *testing.T) {
				t.Parallel()
				s, w := newFHIRStub(t), newWorld(t)
				s.answer = func(int, *http.Request) int { return status }
				for i := range 5 {
					w.log.add(report(hippad.MediaFHIRJSON, fmt.Sprintf(auditEvent, i)))
				}
				w.start(toFHIR(t, s, batch))
				if st := w.settled(); st.Refused != 5 || st.Delivered != 0 || st.State != StateOK {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

// A server that fails in the middle of everything gets everything, at least once and in order.
func TestFHIRFaults(t *testing.T) {
	t.Parallel()
	s, w := newFHIRStub(t), newWorld(t)
	s.answer = func(n int, r *http.Request) int {
		if n%7 == 3 {
			return 503
		}
		if n%7 == 5 {
			panic(http.ErrAbortHandler)
		}
		return 0
	}
	var want []string
	for i := range 500 {
		body := fmt.Sprintf(auditEvent, i)
		w.log.add(report(hippad.MediaFHIRJSON, body))
		want = append(want, hippad.MediaFHIRJSON+" "+body)
	}
	w.impatient(toFHIR(t, s, `,"batch":10`))
	w.settled()
	if err := inOrder(s.received(), want); err != nil {
		t.Error(err)
	}
}
