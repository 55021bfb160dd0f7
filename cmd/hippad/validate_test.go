package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/front"
)

// javaClasspath names the file in which test.sh has put where the libraries of testdata/senders/java are.
const javaClasspath = "HIPPAD_TEST_JAVA"

// java runs one of the programs in testdata/senders/java, which are compiled on first use, and returns what it has written to stdout.
func java(t testing.TB, stdin io.Reader, args ...string) string {
	t.Helper()
	file := os.Getenv(javaClasspath)
	if file == "" {
		missing(t, "%s does not say where the Java libraries are", javaClasspath)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	libraries := strings.TrimSpace(string(text))
	javac, run := tool(t, "javac"), tool(t, "java")
	classes, err := compileJava(javac, libraries)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, run, append([]string{"-cp", classes + string(os.PathListSeparator) + libraries}, args...)...)
	var out, talk bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = stdin, &out, &talk
	if err := c.Run(); err != nil {
		t.Fatalf("java %s: %v\n%s\n%s", args[0], err, out.String(), talk.String())
	}
	return out.String()
}

var javaOnce struct {
	sync.Once
	dir string
	err error
}

// compileJava compiles all the programs into a folder that stays as long as the tests run.
func compileJava(javac, libraries string) (string, error) {
	javaOnce.Do(func() {
		if javaOnce.dir, javaOnce.err = os.MkdirTemp("", "hippad-java-"); javaOnce.err != nil {
			return
		}
		sources, err := filepath.Glob(filepath.Join("testdata", "senders", "java", "*.java"))
		if err != nil {
			javaOnce.err = err
			return
		}
		if text, err := exec.Command(javac, append([]string{"-proc:none", "-cp", libraries, "-d", javaOnce.dir}, sources...)...).CombinedOutput(); err != nil {
			javaOnce.err = fmt.Errorf("javac: %w\n%s", err, text)
		}
	})
	return javaOnce.dir, javaOnce.err
}

// notOurs are findings of the validator that say nothing of what we write.
var notOurs = map[string]string{
	"Unknown code 'http://dicom.nema.org/resources/ontology/DCM#110119'": "Station AE Title (DICOM PS3.16 CID 404) is in the list of DCM codes that comes with R5, and not yet in that of R4",
	"OIDs must be valid (1.2.3)":                                         "a sender names its assigner so, in two samples",
}

// What we answer is FHIR: HAPI's instance validator finds no error in it, in R4 and R5, JSON and XML. What a sender has sent in the same
// release is shown as it is, right or wrong, so such entries are not looked at here.
func TestOutputValidates(t *testing.T) {
	if os.Getenv(javaClasspath) == "" {
		missing(t, "%s does not say where the Java libraries are", javaClasspath)
	}
	s := openHere(t, nil)
	sentAs := validatedReports(t, s)
	dir := t.TempDir()
	lists := map[string][]string{}
	what := map[string]string{}                                                        // file name: what is in it
	dropped, shown := map[string]bool{}, map[string]map[int64]bool{"R4": {}, "R5": {}} // as it was sent
	fetch := func(release, format, method, path, body string, want int) (string, []byte) {
		t.Helper()
		r := httptest.NewRequest(method, "https://audit.example"+path, strings.NewReader(body))
		r.Header.Set("Accept", "application/fhir+"+format)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", hippad.MediaFHIRJSON)
		}
		w := httptest.NewRecorder()
		caller := callerWith(hippad.RoleOfficer)
		caller.Roles = append(caller.Roles, hippad.RoleReporter)
		s.front.HTTP.ServeHTTP(w, front.As(r, caller))
		if w.Code != want {
			t.Fatalf("%s %s: %d, want %d\n%.500s", method, path, w.Code, want, w.Body)
		}
		name := filepath.Join(dir, fmt.Sprintf("%s-%d.%s", release, len(what), format))
		if err := os.WriteFile(name, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		what[name] = method + " " + path
		lists[release] = append(lists[release], name)
		return name, w.Body.Bytes()
	}
	for release, base := range map[string]string{"R4": "/fhir", "R5": "/fhir/r5"} {
		for _, format := range []string{"json", "xml"} {
			for index, as := range sentAs {
				if shown[release][index] || format == "xml" && index%5 > 0 {
					continue
				}
				name, body := fetch(release, format, "GET", fmt.Sprintf("%s/AuditEvent/%d", base, index), "", 200)
				what[name] += " " + as.name
				if format == "json" && as.is(body) {
					shown[release][index] = true
					dropped[name] = true
				}
			}
			fetch(release, format, "GET", base+"/metadata", "", 200)
			fetch(release, format, "GET", base+"/AuditEvent?_media=application/xml&_count=40&nonsense=1", "", 200)
			fetch(release, format, "GET", base+"/AuditEvent?_media=application/xml&_summary=count", "", 200)
			fetch(release, format, "GET", base+"/AuditEvent?date=nonsense", "", 400)
			fetch(release, format, "GET", base+"/AuditEvent/999999999", "", 404)
			fetch(release, format, "GET", base+"/nonsense", "", 404)
			fetch(release, format, "POST", base, `{"resourceType":"Bundle","type":"batch","entry":[`+
				`{"request":{"method":"POST","url":"AuditEvent"},"resource":{"resourceType":"AuditEvent"}},{"request":{"method":"POST","url":"AuditEvent"},"resource":{"resourceType":"Patient"}}]}`, 200)
		}
	}
	fetch("R4", "json", "GET", "/fhir/iti81/metadata", "", 200)
	fetch("R4", "xml", "GET", "/fhir/iti81/AuditEvent?date=ge2000&_media=application/xml&_count=20", "", 200)
	fetch("R4", "json", "GET", "/fhir/iti81/AuditEvent", "", 400)

	profiles := filepath.Join(samples(t), "schemas", "fhir-balp-1.1.4")
	for release, args := range map[string][]string{"R4": {"Validate", "R4", profiles}, "R5": {"Validate", "R5"}} {
		lists[release] = slices.DeleteFunc(lists[release], func(name string) bool { return dropped[name] })
		checked, errors := "", 0
		for line := range strings.Lines(java(t, strings.NewReader(strings.Join(lists[release], "\n")), args...)) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "checked "); ok {
				checked = n
				continue
			}
			name, problem, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if _, message, _ := strings.Cut(problem, "\t"); notOurs[message] != "" {
				continue
			}
			if errors++; errors <= 60 {
				t.Errorf("%s, %s: %s", release, what[name], problem)
			}
		}
		if want := fmt.Sprint(len(lists[release])); checked != want {
			t.Errorf("%s: %s of %s were checked", release, checked, want)
		}
		t.Logf("%s: %s resources, %d errors", release, checked, errors)
	}
}

// A sentReport is what the log holds at an index.
type sentReport struct {
	name string
	body []byte
}

// is tells whether a resource is what was sent, but for what a server adds.
func (r sentReport) is(resource []byte) bool {
	var a, b map[string]any
	if json.Unmarshal(r.body, &a) != nil || json.Unmarshal(resource, &b) != nil {
		return false
	}
	for _, m := range []map[string]any{a, b} {
		delete(m, "id")
		delete(m, "meta")
	}
	return reflect.DeepEqual(a, b)
}

// auditEvents returns the AuditEvents of a file: itself, or the entries of a Bundle, at most 30 because large ones are of one kind.
func auditEvents(body []byte) [][]byte {
	var bundle struct {
		ResourceType string
		Entry        []struct{ Resource json.RawMessage }
	}
	if json.Unmarshal(body, &bundle) != nil || bundle.ResourceType != "Bundle" {
		return [][]byte{body}
	}
	var all [][]byte
	for _, e := range bundle.Entry[:min(len(bundle.Entry), 30)] {
		all = append(all, e.Resource)
	}
	return all
}

// validatedReports records every sample and the demo's messages, and returns what is where.
func validatedReports(t *testing.T, s *server) map[int64]sentReport {
	t.Helper()
	session := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative)
	sent := map[int64]sentReport{}
	record := func(name string, r hippad.Report) {
		t.Helper()
		wait, err := session.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{r}})
		var ack hippad.Ack
		if err == nil {
			ack, err = wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		sent[ack.Ranges[0].First] = sentReport{name, r.Body}
	}
	err := fs.WalkDir(demoMessages, "demo", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			body, _ := demoMessages.ReadFile(path)
			record(path, hippad.Report{Media: mediaOf(body), Body: body})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	root := samples(t)
	for _, top := range []string{"dicom-audit-xml", "syslog-atna", "fhir-auditevent"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "malformed") {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if top == "syslog-atna" {
				_, message, counted := bytes.Cut(body, []byte(" ")) // octet counting, or a datagram
				if counted && bytes.HasPrefix(message, []byte("<")) {
					body = message
				}
				record(name, hippad.Report{Media: hippad.MediaSyslog, Body: body})
				return nil
			}
			if filepath.Ext(path) == ".xml" && top == "fhir-auditevent" {
				return nil // whether it is shown as it was sent is not easily told from outside
			}
			for i, resource := range auditEvents(body) {
				record(fmt.Sprintf("%s[%d]", name, i), hippad.Report{Media: mediaOf(resource), Body: resource})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) < 200 {
		t.Fatalf("only %d reports", len(sent))
	}
	return sent
}
