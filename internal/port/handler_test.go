package port

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func testHandler(look func(Want) (View, error)) http.Handler {
	h := &Handler{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Desk: &Desk{Registry: Embedded(), Look: look, Host: func() Host { return Host{Ephemeral: Range{32768, 60999}, Source: "test"} },
			Traffic: func(n uint16) (Traffic, bool) {
				return Traffic{Since: time.Unix(0, 0), Unexpected: 14, Labels: []LabelCount{{"TLS", "scan", 14}}}, n == 2988
			}},
		MayLook: func(r *http.Request) bool { return r.Header.Get("Authorization") == "me" },
	}
	mux := http.NewServeMux()
	mux.Handle("GET /port/{port}", h)
	return mux
}

func get(h http.Handler, address string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", address, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// The registry is for everybody; the machine is not.
func TestHandlerWithholdsTheMachine(t *testing.T) {
	looked := 0
	h := testHandler(func(want Want) (View, error) {
		looked++
		return View{Complete: true, AllPorts: true, Source: "test", Listeners: []Listener{{Transport: "tcp", Address: netip.IPv4Unspecified(), Port: 2988,
			Owners: []Process{{PID: 812, Name: "<secret>"}}}}}, nil
	})
	for _, header := range [][]string{{"Accept", "application/json"}, {"Accept", "text/html"}} {
		w := get(h, "/port/2988", header...)
		text := w.Body.String()
		if w.Code != 200 || !strings.Contains(text, "HIPPA Reporting Protocol") || !strings.Contains(text, "implemented by hippad") {
			t.Errorf("%d %s", w.Code, text)
		}
		for _, secret := range []string{"812", "secret", "32768", "14"} {
			if header[1] == "application/json" && strings.Contains(text, secret) {
				t.Errorf("a stranger is told %s: %s", secret, text)
			}
		}
		if strings.Contains(text, "secret") || !strings.Contains(text, Withheld) {
			t.Errorf("%s", text)
		}
	}
	if looked != 0 {
		t.Error("the machine was looked at for a stranger")
	}
	var a Answer
	if err := json.Unmarshal(get(h, "/port/2988?format=json", "Authorization", "me").Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.View == nil || len(a.View.Listeners) != 1 || a.View.Listeners[0].Owners[0].PID != 812 || a.Traffic == nil || a.Traffic.Unexpected != 14 || a.Host == nil || a.Withheld != "" {
		t.Errorf("%+v", a)
	}
	page := get(h, "/port/2988", "Authorization", "me").Body.String()
	if !strings.Contains(page, "&lt;secret&gt; (pid 812)") || strings.Contains(page, "<secret>") || !strings.Contains(page, "14 TLS") {
		t.Error(page)
	}
	if strings.Contains(page, "takes it for connections") {
		t.Error("2988 is shown as ephemeral")
	}
	if page := get(h, "/port/40000", "Authorization", "me").Body.String(); !strings.Contains(page, "this machine also takes it for connections") {
		t.Error("40000 is not shown as ephemeral")
	}
	if csp := get(h, "/port/2988").Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Error(csp)
	}
}

func TestHandlerRefuses(t *testing.T) {
	h := testHandler(func(Want) (View, error) { return View{}, errors.New("secret cause") })
	for address, want := range map[string]int{
		"/port/70000": 400, "/port/0": 400, "/port/-1": 400, "/port/HIPPA": 404, "/port/1-10": 400, "/port/hippad": 200, "/port/%3Cscript%3E": 404, "/port/x11": 400,
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			w := get(h, address, "Accept", accept)
			if w.Code != want || !strings.HasPrefix(w.Header().Get("Content-Type"), accept) || accept == "text/html" && strings.Contains(w.Body.String(), "<script>") {
				t.Errorf("%s: %d %s %s", address, w.Code, w.Header().Get("Content-Type"), w.Body)
			}
		}
	}
	if w := get(h, "/port/HIPPA", "Accept", "application/json"); !strings.Contains(w.Body.String(), "did you mean hippad (2988)?") {
		t.Error(w.Body)
	}
	if w := get(h, "/port/2988", "Authorization", "me"); w.Code != 500 || strings.Contains(w.Body.String(), "secret cause") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
