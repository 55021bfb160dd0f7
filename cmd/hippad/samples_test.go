package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
	"hippad/receipt"
	"hippad/wire"
)

// A sampleItem is one piece of one sample that was sent by one way, and the entries that came of it.
type sampleItem struct {
	folder, file, way string
	door              hippad.Door
	media             string
	sent              []byte // the report, or with raw set all bytes of a connection
	raw               bool
	status            int     // of a FHIR answer, else 0
	entries           []int64 // indexes
	wellFormed        bool    // an AuditMessage or an AuditEvent without fault: it must be understood
}

// A sampleRun sends samples to one server.
type sampleRun struct {
	t      *testing.T
	p      *process
	root   string
	udp    string
	native *wire.Client
	config *tls.Config
	web    *http.Client
	watch  watcher
	items  []*sampleItem
}

// Every sample goes in through its own door of one server and comes out byte for byte; every well-formed audit message is
// understood. The table says how many were, by folder and way, and why the others were not.
func TestSamples(t *testing.T) {
	root := samples(t)
	udp := fmt.Sprintf("127.0.0.1:%d", freePort(t, "udp"))
	p := startServer(t, "", "--udp", udp, "--max-message", "1048576")
	config, err := identity.ReporterTLS(p.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &sampleRun{t: t, p: p, root: root, udp: udp, native: operator(t, p), config: config, watch: newWatcher(t, p),
		web: &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}, Timeout: time.Minute}}
	defer r.web.CloseIdleConnections()

	files := 0
	for _, top := range []string{"dicom-audit-xml", "fhir-auditevent", "syslog-atna", "syslog-rfc5424"} {
		for _, file := range r.list(top) {
			body, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			before := len(r.items)
			r.send(top, file, body)
			if len(r.items) == before {
				t.Errorf("%s was not sent by any way", file)
			}
			files++
		}
	}
	entries := r.readBack()
	r.check(entries)
	t.Logf("%d files, %d ways in, %d entries\n%s", files, len(r.items), len(entries), r.table(entries))
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
}

// list returns the files below a folder of the samples, in a stable order.
func (r *sampleRun) list(top string) []string {
	var files []string
	err := filepath.WalkDir(filepath.Join(r.root, top), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, e := filepath.Rel(r.root, path)
			files, err = append(files, filepath.ToSlash(name)), e
		}
		return err
	})
	if err != nil || len(files) == 0 {
		r.t.Fatalf("%s: %d files, %v", top, len(files), err)
	}
	return files
}

// send chooses the ways of a sample.
func (r *sampleRun) send(top, file string, body []byte) {
	item := func(way string, door hippad.Door, media string, sent []byte) *sampleItem {
		i := &sampleItem{folder: filepath.ToSlash(filepath.Dir(file)), file: file, way: way, door: door, media: media, sent: sent}
		r.items = append(r.items, i)
		return i
	}
	switch {
	case top == "dicom-audit-xml":
		ok := isXML(body, "AuditMessage")
		a := item("native xml", hippad.DoorNative, hippad.MediaXML, body)
		a.wellFormed = ok
		r.record(a)
		wrapped := append([]byte("<85>1 2026-11-22T10:00:00.000Z ward.example sample 7 IHE+RFC-3881 - "), body...)
		b := item("syslog/tls, counted", hippad.DoorSyslogTLS, hippad.MediaSyslog, wrapped)
		b.wellFormed = ok
		r.connect(b, append(fmt.Appendf(nil, "%d ", len(wrapped)), wrapped...))
	case strings.HasSuffix(file, ".xml"):
		a := item("native fhir xml", hippad.DoorNative, hippad.MediaFHIRXML, body)
		a.wellFormed = isXML(body, "AuditEvent")
		r.record(a)
	case top == "fhir-auditevent":
		r.sendJSON(item, body)
	default:
		i := item("datagram", hippad.DoorSyslogUDP, hippad.MediaSyslog, body)
		stream := strings.HasSuffix(file, ".tcp.bin") || strings.Contains(file, "tcp-frame") || strings.Contains(file, "framing")
		if stream && (body[0] == '<' || body[0] >= '1' && body[0] <= '9') { // nothing else is syslog on a connection
			i.way, i.door, i.raw = "syslog/tls, as captured", hippad.DoorSyslogTLS, true
			r.connect(i, body)
		} else {
			r.datagram(i)
		}
		i.wellFormed = !strings.Contains(file, "octetcounting") && isXML(body[max(0, bytes.IndexByte(body, '>')+1):], "AuditMessage")
	}
}

// sendJSON sends an AuditEvent by FHIR, and a Bundle in pieces: each resource natively, and all of them in a batch.
func (r *sampleRun) sendJSON(item func(string, hippad.Door, string, []byte) *sampleItem, body []byte) {
	var bundle struct {
		ResourceType string `json:"resourceType"`
		Entry        []struct {
			Resource json.RawMessage `json:"resource"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &bundle); err != nil || bundle.ResourceType != "Bundle" {
		i := item("POST /fhir/AuditEvent", hippad.DoorFHIR, hippad.MediaFHIRJSON, body)
		i.wellFormed = err == nil && bundle.ResourceType == "AuditEvent"
		r.post(i)
		return
	}
	// The dump itself is no report: the FHIR door says so and keeps nothing, hippad/1 keeps it as it is.
	r.post(item("POST /fhir/AuditEvent", hippad.DoorFHIR, hippad.MediaFHIRJSON, body))
	r.record(item("native, whole dump", hippad.DoorNative, hippad.MediaFHIRJSON, body))
	var batch []*sampleItem
	for _, e := range bundle.Entry {
		ok := isAuditEvent(e.Resource)
		i := item("native, out of a dump", hippad.DoorNative, hippad.MediaFHIRJSON, e.Resource)
		i.wellFormed = ok
		r.record(i)
		if ok {
			i := item("POST /fhir, batch", hippad.DoorFHIR, hippad.MediaFHIRJSON, e.Resource)
			i.wellFormed = true
			batch = append(batch, i)
		}
	}
	r.postBatch(batch)
}

// record reports by hippad/1.
func (r *sampleRun) record(i *sampleItem) {
	r.t.Helper()
	ctx := bounded(r.t)
	wait, err := r.native.Record(ctx, hippad.Frame{Reports: []hippad.Report{{Media: i.media, Body: i.sent}}})
	if err == nil {
		var ack hippad.Ack
		if ack, err = wait(ctx); err == nil {
			i.entries = []int64{ack.Ranges[0].First}
			return
		}
	}
	r.t.Errorf("%s by %s: %v", i.file, i.way, err)
}

// connect sends bytes by a TLS connection of their own, waits until the server has closed it, and looks what has come of it.
func (r *sampleRun) connect(i *sampleItem, b []byte) {
	r.t.Helper()
	before, _, _ := r.watch.checkpoint(r.t)
	c, err := tls.Dial("tcp", r.p.Address, r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write(b); err != nil {
		r.t.Fatalf("%s: %v", i.file, err)
	}
	if err := c.CloseWrite(); err != nil {
		r.t.Fatalf("%s: %v", i.file, err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) {
		r.t.Errorf("%s: the server did not close in order: %v", i.file, err)
	}
	r.arrived(i, before)
}

// datagram sends bytes as one datagram.
func (r *sampleRun) datagram(i *sampleItem) {
	r.t.Helper()
	before, _, _ := r.watch.checkpoint(r.t)
	c, err := net.Dial("udp", r.udp)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(i.sent); err != nil {
		r.t.Fatalf("%s: %v", i.file, err)
	}
	r.arrived(i, before)
}

// arrived waits until the log has grown, and notes the new entries. One sample is on its way at a time.
func (r *sampleRun) arrived(i *sampleItem, before uint64) {
	r.t.Helper()
	eventually(r.t, i.file, func() error {
		now, _, _ := r.watch.checkpoint(r.t)
		if now == before {
			return errors.New("nothing has come of it")
		}
		for n := before; n < now; n++ {
			i.entries = append(i.entries, int64(n))
		}
		return nil
	})
}

var receiptLink = regexp.MustCompile(`^</log/receipt/(\d+)>; rel="https://c2sp.org/tlog-proof"$`)

// post reports by POST /fhir/AuditEvent.
func (r *sampleRun) post(i *sampleItem) {
	r.t.Helper()
	answer, text := r.do(i.file, "/fhir/AuditEvent", i.sent)
	i.status = answer.StatusCode
	if m := receiptLink.FindStringSubmatch(answer.Header.Get("Link")); m != nil {
		index, _ := strconv.ParseInt(m[1], 10, 64)
		i.entries = []int64{index}
	}
	switch i.status {
	case http.StatusCreated, http.StatusBadRequest:
		if len(i.entries) != 1 {
			r.t.Errorf("%s: status %d without a receipt: %s", i.file, i.status, text)
		}
	case http.StatusUnprocessableEntity:
		if len(i.entries) != 0 {
			r.t.Errorf("%s: status 422 with a receipt", i.file)
		}
	default:
		r.t.Errorf("%s: status %d: %s", i.file, i.status, text)
	}
}

func (r *sampleRun) do(file, path string, body []byte) (*http.Response, []byte) {
	r.t.Helper()
	answer, err := r.web.Post("https://"+r.p.Address+path, hippad.MediaFHIRJSON, bytes.NewReader(body))
	if err != nil {
		r.t.Fatalf("%s: %v", file, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatalf("%s: %v", file, err)
	}
	return answer, text
}

// postBatch reports by POST /fhir with a batch.
func (r *sampleRun) postBatch(items []*sampleItem) {
	r.t.Helper()
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Bundle","type":"batch","entry":[`)
	for n, i := range items {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"resource":%s,"request":{"method":"POST","url":"AuditEvent"}}`, i.sent)
	}
	b.WriteString(`]}`)
	answer, text := r.do(items[0].file, "/fhir", b.Bytes())
	var said struct {
		Type  string
		Entry []struct {
			Response struct{ Status, Location string }
		}
	}
	if err := json.Unmarshal(text, &said); err != nil || answer.StatusCode != http.StatusOK || said.Type != "batch-response" || len(said.Entry) != len(items) {
		r.t.Fatalf("%s: status %d, %d entries, %v: %.500s", items[0].file, answer.StatusCode, len(said.Entry), err, text)
	}
	for n, e := range said.Entry {
		items[n].status, _ = strconv.Atoi(strings.Fields(e.Response.Status + " 0")[0])
		index, err := strconv.ParseInt(strings.TrimPrefix(e.Response.Location, "/fhir/AuditEvent/"), 10, 64)
		if err != nil || items[n].status != http.StatusCreated {
			r.t.Errorf("%s, entry %d of the batch: %s %s", items[n].file, n, e.Response.Status, e.Response.Location)
			continue
		}
		items[n].entries = []int64{index}
	}
}

// readBack reads all entries with hippad/1, and with the command, which must agree.
func (r *sampleRun) readBack() map[int64]hippad.Entry {
	r.t.Helper()
	all := map[int64]hippad.Entry{}
	for e, err := range r.native.Search(bounded(r.t), hippad.Query{Ascending: true}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all[e.Index] = e
	}
	shown := 0
	for _, door := range []hippad.Door{hippad.DoorNative, hippad.DoorFHIR, hippad.DoorSyslogTLS, hippad.DoorSyslogUDP} {
		for _, f := range search(r.t, r.p.Data, "_door="+door.String()) {
			e := all[f.Index]
			if f.Door != door.String() || f.Media != e.Media || f.Fault != e.Fault.String() || !bytes.Equal(f.Body, e.Body) || f.Unreadable != read(e.Report).Unreadable {
				r.t.Errorf("entry %d: search --json shows something else", f.Index)
			}
			if f.Unreadable == "" && !json.Valid(f.Event) {
				r.t.Errorf("entry %d: search --json shows no event", f.Index)
			}
			shown++
		}
	}
	for index, e := range all {
		if e.Door == hippad.DoorSelf {
			shown++
		} else if index%7 == 0 {
			r.checkReceipt(e)
		}
	}
	if shown != len(all) {
		r.t.Errorf("search --json shows %d entries of %d", shown, len(all))
	}
	return all
}

func (r *sampleRun) checkReceipt(e hippad.Entry) {
	r.t.Helper()
	text, err := r.native.Receipt(bounded(r.t), e.Index)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := receipt.Verify(text, e.Body, r.watch.verifier); err != nil {
		r.t.Errorf("entry %d: %v", e.Index, err)
	}
}

// check compares what was sent with what the log has.
func (r *sampleRun) check(entries map[int64]hippad.Entry) {
	r.t.Helper()
	claimed := map[int64]string{}
	for _, i := range r.items {
		var bodies [][]byte
		for _, index := range i.entries {
			e, ok := entries[index]
			if !ok || claimed[index] != "" {
				r.t.Errorf("%s by %s: entry %d is missing or belongs to %q", i.file, i.way, index, claimed[index])
				continue
			}
			claimed[index] = i.file
			bodies = append(bodies, e.Body)
			if e.Door != i.door || e.Media != i.media {
				r.t.Errorf("%s by %s: entry %d has door %v and media %s", i.file, i.way, index, e.Door, e.Media)
			}
			if ev := read(e.Report); i.wellFormed && ev.Unreadable != "" {
				r.t.Errorf("%s by %s: well-formed, and unreadable: %s", i.file, i.way, ev.Unreadable)
			}
		}
		switch {
		case i.raw:
			if rest := unframed(i.sent, bodies); rest != "" {
				r.t.Errorf("%s by %s: %s", i.file, i.way, rest)
			}
		case i.status == http.StatusUnprocessableEntity:
		case len(bodies) != 1 || !bytes.Equal(bodies[0], i.sent) || entries[i.entries[0]].Fault != hippad.NoFault:
			r.t.Errorf("%s by %s: %d entries, not the %d bytes that were sent", i.file, i.way, len(bodies), len(i.sent))
		}
	}
	for index, e := range entries {
		if e.Door != hippad.DoorSelf && claimed[index] == "" {
			r.t.Errorf("entry %d belongs to no sample", index)
		}
	}
}

// frameBytes is what may stand between two messages of a connection: trailers, an octet count, or both (RFC 6587).
var frameBytes = regexp.MustCompile(`^[\r\n\x00]*([1-9][0-9]* )?$`)

// unframed says what of sent is neither in the bodies, which are in order, nor framing.
func unframed(sent []byte, bodies [][]byte) string {
	at := 0
	for n, body := range bodies {
		i := bytes.Index(sent[at:], body)
		if i < 0 {
			return fmt.Sprintf("report %d is not what was sent", n)
		}
		if !frameBytes.Match(sent[at : at+i]) {
			return fmt.Sprintf("%d bytes before report %d are in no report", i, n)
		}
		at += i + len(body)
	}
	if !frameBytes.Match(sent[at:]) {
		return fmt.Sprintf("the last %d bytes are in no report", len(sent)-at)
	}
	return ""
}

// isXML tells, by encoding/xml, whether b holds one well-formed document with the given root and nothing after it.
func isXML(b []byte, want string) bool {
	i := bytes.IndexByte(b, '<')
	if i < 0 {
		return false
	}
	root, depth := "", 0
	for d := xml.NewDecoder(bytes.NewReader(b[i:])); ; {
		token, err := d.Token()
		if err == io.EOF {
			return depth == 0 && root == want
		}
		if err != nil {
			return false
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; root == "" {
				root = token.Name.Local
			}
		case xml.EndElement:
			depth--
		}
	}
}

// isAuditEvent tells, by encoding/json, whether b is a well-formed AuditEvent.
func isAuditEvent(b []byte) bool {
	var r struct {
		ResourceType string `json:"resourceType"`
	}
	return json.Unmarshal(b, &r) == nil && r.ResourceType == "AuditEvent"
}

// table says by folder and way what was understood, and why the rest was not.
func (r *sampleRun) table(entries map[int64]hippad.Entry) string {
	type row struct {
		files, entries, understood, refused int
		reasons                             map[string]int
	}
	rows := map[string]*row{}
	for _, i := range r.items {
		key := i.folder + " | " + i.way
		if rows[key] == nil {
			rows[key] = &row{reasons: map[string]int{}}
		}
		w := rows[key]
		w.files++
		if len(i.entries) == 0 {
			w.refused++
			w.reasons[fmt.Sprintf("status %d, not kept", i.status)]++
		}
		for _, index := range i.entries {
			w.entries++
			e := entries[index]
			reason := read(e.Report).Unreadable
			if reason == "" {
				w.understood++
			}
			if e.Fault != hippad.NoFault {
				reason = strings.TrimSpace(e.Fault.String() + " " + reason)
			}
			if reason != "" {
				w.reasons[reason]++
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%5s %7s %10s %10s  %s\n", "sent", "entries", "understood", "unreadable", "folder | way")
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		w := rows[key]
		fmt.Fprintf(&b, "%5d %7d %10d %10d  %s\n", w.files, w.entries, w.understood, w.entries-w.understood, key)
		for _, reason := range slices.Sorted(maps.Keys(w.reasons)) {
			fmt.Fprintf(&b, "%48d x %s\n", w.reasons[reason], reason)
		}
	}
	return b.String()
}
