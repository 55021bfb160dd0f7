package fhir

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hippad"
)

const smallXML = `<AuditEvent xmlns="http://hl7.org/fhir"><type><code value="rest"/></type><recorded value="2026-11-22T09:00:00Z"/><agent><requestor value="true"/></agent>` +
	`<source><observer><display value="x"/></observer></source></AuditEvent>`

func xmlBatchOf(kind string, resources ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<Bundle xmlns="http://hl7.org/fhir"><type value="%s"/>`, kind)
	for _, r := range resources {
		b.WriteString("<entry><fullUrl value=\"urn:uuid:1\"/>\n<resource> " + r + " </resource><request><method value=\"POST\"/><url value='AuditEvent'/></request></entry>")
	}
	return b.String() + `</Bundle>`
}

func TestXMLBatch(t *testing.T) {
	h, log := newHandler()
	body := "\xef\xbb\xbf" + xmlBatchOf("batch", smallXML, `<Patient><name value="Miller"/></Patient>`, `<AuditEvent><type><code value="é &amp; &#x41;"/></type><!-- c --></AuditEvent>`, ``)
	body = strings.Replace(body, `</Bundle>`, `<entry><resource>`+smallXML+`</resource></entry><entry><resource>`+smallXML+`</resource><request><method value="PUT"/><url value="AuditEvent/1"/></request></entry></Bundle>`, 1)
	w := do(h, "POST", "/fhir", body, "Content-Type", "application/fhir+xml", "Accept", "application/fhir+json")
	var b bundleJSON
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 || b.Type != "batch-response" {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	var statuses []string
	for _, e := range b.Entry {
		statuses = append(statuses, e.Response.Status[:3])
	}
	if want := []string{"201", "422", "201", "400", "400", "400"}; !slices.Equal(statuses, want) {
		t.Errorf("%v, want %v", statuses, want)
	}
	if len(log.entries) != 2 || string(log.entries[0].Body) != smallXML || log.entries[0].Media != hippad.MediaFHIRXML ||
		string(log.entries[1].Body) != `<AuditEvent xmlns="http://hl7.org/fhir"><type><code value="é &amp; &#x41;"/></type><!-- c --></AuditEvent>` {
		t.Errorf("%d entries: %s", len(log.entries), log.entries[len(log.entries)-1].Body)
	}
	if strings.Contains(w.Body.String(), "Miller") {
		t.Error("the answer quotes the body")
	}
	// The answer comes in XML to who sends XML and says so.
	w = do(h, "POST", "/fhir/r5", xmlBatchOf("transaction", smallXML, smallXML), "Content-Type", "text/xml", "Accept", "application/fhir+xml")
	if w.Code != 200 || strings.Count(w.Body.String(), `<status value="201 Created"/>`) != 2 || !strings.Contains(w.Body.String(), `<type value="transaction-response"/>`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	n := len(log.entries)
	checkOutcome(t, do(h, "POST", "/fhir", xmlBatchOf("transaction", smallXML, `<Patient/>`), inXML...), 400, "business-rule")
	if len(log.entries) != n {
		t.Error("a part of a transaction was recorded")
	}
}

// What is cut out of a Bundle means the same on its own.
func TestXMLNamespaces(t *testing.T) {
	for name, c := range map[string]struct{ bundle, want string }{
		"its own":       {`<Bundle xmlns="http://hl7.org/fhir"><entry><resource><AuditEvent xmlns="http://hl7.org/fhir"><a/></AuditEvent></resource></entry></Bundle>`, `<AuditEvent xmlns="http://hl7.org/fhir"><a/></AuditEvent>`},
		"of the Bundle": {`<Bundle xmlns="http://hl7.org/fhir"><entry><resource><AuditEvent ><a/></AuditEvent></resource></entry></Bundle>`, `<AuditEvent xmlns="http://hl7.org/fhir" ><a/></AuditEvent>`},
		"nearest":       {`<Bundle xmlns="urn:x"><entry><resource xmlns='http://hl7.org/fhir'><AuditEvent/></resource></entry></Bundle>`, `<AuditEvent xmlns="http://hl7.org/fhir"/>`},
		"none":          {`<Bundle><entry><resource><AuditEvent/></resource></entry></Bundle>`, `<AuditEvent/>`},
		"prefixes": {`<f:Bundle xmlns:f="http://hl7.org/fhir" xmlns:x="urn:x?a&amp;b" xmlns:unused="urn:u"><f:entry><f:resource><f:AuditEvent x:y="1"><f:a/></f:AuditEvent></f:resource></f:entry></f:Bundle>`,
			`<f:AuditEvent xmlns:f="http://hl7.org/fhir" xmlns:x="urn:x?a&amp;b" x:y="1"><f:a/></f:AuditEvent>`},
		"declared further inside": {`<Bundle xmlns="http://hl7.org/fhir" xmlns:x="urn:x"><entry><resource><AuditEvent xmlns="http://hl7.org/fhir"><x:a xmlns:x="urn:z"/></AuditEvent></resource></entry></Bundle>`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><x:a xmlns:x="urn:z"/></AuditEvent>`},
		"a narrative": {`<Bundle xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><entry><resource><AuditEvent><text><h:div>x</h:div></text></AuditEvent></resource></entry></Bundle>`,
			`<AuditEvent xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><h:div>x</h:div></text></AuditEvent>`},
	} {
		b, reason, err := readXMLBundle([]byte(c.bundle))
		if err != nil || reason != "" || len(b.entries) != 1 || string(b.entries[0].resource) != c.want {
			t.Errorf("%s: %v %s %s, want %s", name, err, reason, b.entries[0].resource, c.want)
		}
	}
}

func TestXMLBundleRefusals(t *testing.T) {
	entry := `<entry><resource><AuditEvent/></resource><request><method value="POST"/><url value="AuditEvent"/></request></entry>`
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		kept       int
	}{
		{"not well-formed", `<Bundle><entry></Bundle>`, 400, "structure", 1},
		{"ends early", xmlBatchOf("batch", smallXML)[:200], 400, "structure", 1},
		{"two roots", `<Bundle/><Bundle/>`, 400, "structure", 1},
		{"nothing", ` `, 400, "structure", 1},
		{"no end", `</Bundle>`, 400, "structure", 1},
		{"another character set", `<?xml version="1.0" encoding="ISO-8859-1"?><Bundle/>`, 400, "structure", 1},
		{"a bomb", `<!DOCTYPE b [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;">]><Bundle><type value="&b;"/></Bundle>`, 400, "structure", 1},
		{"deep", strings.Repeat("<Bundle>", 1_000_000), 400, "structure", 1},
		{"two resources", `<Bundle><type value="batch"/><entry><resource><AuditEvent/><AuditEvent/></resource></entry></Bundle>`, 400, "structure", 1},
		{"no Bundle", smallXML, 422, "business-rule", 0},
		{"a collection", xmlBatchOf("collection", smallXML), 422, "business-rule", 0},
		{"too many entries", `<Bundle><type value="batch"/>` + strings.Repeat(entry, maxEntries+1) + `</Bundle>`, 413, "too-long", 0},
		{"a million entries", `<Bundle><type value="batch"/>` + strings.Repeat("<entry/>", 1_000_000) + `</Bundle>`, 413, "too-long", 0},
	} {
		h, log := newHandler()
		checkOutcome(t, do(h, "POST", "/fhir", c.body, inXML...), c.status, c.code)
		if len(log.entries) != c.kept || c.kept == 1 && string(log.entries[0].Body) != c.body {
			t.Errorf("%s: %d kept", c.name, len(log.entries))
		}
	}
	h, _ := newHandler()
	checkOutcome(t, do(h, "POST", "/fhir", `{"resourceType":"Bundle","type":"batch","entry":[`+strings.Repeat(`{},`, 1_000_000)+`{}]}`), 413, "too-long")
}

// Every report that comes of a Bundle in XML is well-formed on its own; the answer is, too.
func FuzzXMLBundle(f *testing.F) {
	f.Add([]byte(xmlBatchOf("batch", smallXML, `<Patient/>`)))
	f.Add([]byte(xmlBatchOf("transaction", `<AuditEvent><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text></AuditEvent>`)))
	f.Add([]byte(`<f:Bundle xmlns:f="http://hl7.org/fhir"><f:type value="batch"/><f:entry><f:resource><f:AuditEvent/></f:resource><f:request><f:method value="POST"/><f:url value="AuditEvent"/></f:request></f:entry></f:Bundle>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, log := newHandler()
		w := do(h, "POST", "/fhir", string(body), inXML...)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer is not JSON: %s", w.Body)
		}
		for _, e := range log.entries {
			if w.Code != http.StatusOK {
				if !bytes.Equal(e.Body, body) {
					t.Fatal("refused, and recorded in part")
				}
				continue
			}
			if readAny(e.Report).Unreadable != "" {
				continue
			}
			var doc struct{ XMLName xml.Name }
			if err := xml.Unmarshal(e.Body, &doc); err != nil {
				t.Fatalf("%v: %s", err, e.Body)
			}
		}
	})
}
