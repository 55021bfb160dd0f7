package fhir

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

var update = flag.Bool("update", false, "write the golden facts anew: read them against the samples before keeping them")

// golden lists the samples whose facts were compared with the resource by hand, by folder: every version, every sender.
var golden = map[string][]string{
	"dstu2": {"hl7-AuditEvent-example-disclosure.json", "hl7-AuditEvent-example-login.json", "hl7-AuditEvent-example-media.json",
		"hl7-AuditEvent-example-pixQuery.json", "hl7-AuditEvent-example-search.json", "hl7-AuditEvent-example.json"},
	"stu3": {"hl7-AuditEvent-example-disclosure.json", "hl7-AuditEvent-example-login.json", "hl7-AuditEvent-example-media.json",
		"hl7-AuditEvent-example-pixQuery.json", "hl7-AuditEvent-example-search.json"},
	"r4": {"fhirtestcases-AuditEvent-ex-FirstSliceProfile.json", "hl7-AuditEvent-example-disclosure.json", "hl7-AuditEvent-example-error.json",
		"hl7-AuditEvent-example-logout.json", "hl7-AuditEvent-example-media.json", "hl7-AuditEvent-example-rest.json", "msfhirserver-auditevent-example.json"},
	"r4-balp": {"AuditEvent-ex-auditAuthZconsent-deny.json", "AuditEvent-ex-auditBasicDeleteInformant.json", "AuditEvent-ex-auditBasicQueryPost.json",
		"AuditEvent-ex-auditBasicReadOServer.json", "AuditEvent-ex-auditPoke-SAML-Comp.json", "AuditEvent-ex-auditPrivacyDisclosure-recipient.json",
		"AuditEvent-ex-auditBasicUpdateNoUserJob.json", "AuditEvent-ex-auditBasicCreateClient.json"},
	"r4-ihe-ig": {"ihe-mcsd-AuditEvent-ex-AuditMcsdCareServicesUpdates.json", "ihe-mhd-AuditEvent-ex-auditProvideBundle-recipient.json",
		"ihe-pdqm-AuditEvent-ex-auditPdqmQuery-supplier.json", "ihe-pixm-AuditEvent-ex-auditPixmFeed-delete-manager.json"},
	"r4-national": {"ch-epr-atc-doc-read-ass-hpc.xml", "ch-epr-atc-log-read.xml", "ch-epr-atc-pol-create-rep.xml", "ch-atc-ch-atc-iti-81-response-sample.xml#0",
		"cl-AuditEvent-AuditEventEx.json", "cl-AuditEvent-AuditEventEx.xml", "de-epa-AuditEvent-12f84721-2ad9-4cfa-81c5-b1345bc74230.json",
		"de-erp-AuditEvent-example.json", "de-erp-AuditEventBundle_01.json#0", "de-erezept-2023-07-01-07_response_getAuditEvent.json#0",
		"de-erezept-E-Rezept-Workflow_gematik-AuditEvent-9361863d-fec0-4ba9-8776-7905cf1b0cfa.xml",
		"nl-ozo-AuditEvent-REST-Update-Denied.json", "nl-ozo-AuditEvent-System-Read.json", "nl-ozo-hapi-AuditEvent_17.json",
		"no-dips-AuditEvent-e3fb7e4c-d532-4b3f-9937-1eed5a9c8923.json"},
	"r5": {"hl7-r5-auditevent-example-error.xml", "hl7-r5draft-auditevent-example-breakglass-start.xml", "ihe-mhd5-AuditEvent-ex-auditFindDocumentLists-consumer.json",
		"ihe-mhd5-AuditEvent-ex-auditFindDocumentReferences-post-responder.json", "ihe-mhd5-AuditEvent-ex-auditProvideBundle-recipient.json",
		"ihe-mhd5-AuditEvent-ex-auditRetrieveDocument-responder.json", "ihe-mhd5-AuditEvent-ex-auditSimplifiedPublish-source.json", "fhooe-hapi-searchset-auditEvents.json#0"},
}

// The facts that Read and ReadXML extract are those that were found in the resource by reading it. testdata/golden holds facts in
// words of our own, nothing of the samples' text.
func TestGolden(t *testing.T) {
	bodies, xmls := sampleBodies(t)
	for _, name := range xmls {
		for entry, resource := range xmlResources(t, name) {
			bodies[entry] = resource
		}
	}
	for folder, names := range golden {
		var out strings.Builder
		for _, name := range names {
			body, ok := bodies[filepath.Join(folder, name)]
			if !ok && !strings.Contains(name, "#") {
				t.Errorf("%s/%s is not among the samples", folder, name)
				continue
			}
			ev := Read(body)
			if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
				ev = ReadXML(body)
			}
			fmt.Fprintf(&out, "# %s\n%s\n", name, facts(ev))
		}
		path := filepath.Join("testdata", "golden", folder+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, expected := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
		at := ""
		for i := range max(len(got), len(expected)) {
			var a, b string
			if i < len(got) {
				a = got[i]
			}
			if i < len(expected) {
				b = expected[i]
			}
			if strings.HasPrefix(b, "# ") {
				at = b
			}
			if a != b {
				t.Errorf("%s%s: got\n  %s\nwant\n  %s", folder, strings.TrimPrefix(at, "#"), a, b)
				break
			}
		}
	}
}

// xmlResources returns the AuditEvents of one XML sample: itself, or those of a Bundle as JSON, by name and entry.
func xmlResources(t testing.TB, name string) map[string][]byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(samples, "fhir-auditevent", name))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, _, err := fromXML(body, true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var doc struct {
		ResourceType string
		Entry        []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(asJSON, &doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if doc.ResourceType != "Bundle" {
		return map[string][]byte{name: body}
	}
	out := make(map[string][]byte)
	for i, e := range doc.Entry {
		if kind, _ := resourceHead(e.Resource); kind == auditEvent {
			out[fmt.Sprintf("%s#%d", name, i)] = e.Resource
		}
	}
	return out
}

// facts writes what an event says, a fact a line. A long text is cut: enough to tell it by, too little to be a copy.
func facts(ev hippad.Event) string {
	var b strings.Builder
	line := func(name string, values ...string) {
		values = slices.DeleteFunc(values, func(s string) bool { return s == "" })
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(values, "  "))
		}
	}
	if ev.Unreadable != "" {
		line("unreadable", ev.Unreadable)
	}
	line("type", codeFact("", ev.Type))
	for _, c := range ev.Subtypes {
		line("subtype", codeFact("", c))
	}
	line("action", ev.Action)
	line("severity", ev.Severity)
	line("recorded", timeFact(ev.Recorded))
	line("occurred", timeFact(ev.Occurred.Start), timeFact(ev.Occurred.End))
	line("outcome", ev.Outcome, short(ev.OutcomeDescription))
	for _, c := range ev.Purposes {
		line("purpose", codeFact("", c))
	}
	for _, r := range ev.BasedOn {
		line("based on", refFact("", r))
	}
	line("encounter", refFact("", ev.Encounter))
	for _, a := range ev.Agents {
		line("agent", agentFacts(a)...)
	}
	line("source", append([]string{refFact("", ev.Source.Observer), fact("site", ev.Source.Site)}, codeFacts("type", ev.Source.Types)...)...)
	for _, n := range ev.Entities {
		list := []string{refFact("", n.What), codeFact("idtype", n.IDType), codeFact("type", n.Type), codeFact("role", n.Role), codeFact("lifecycle", n.Lifecycle),
			fact("name", n.Name), fact("description", n.Description)}
		list = append(list, codeFacts("label", n.Labels)...)
		if len(n.Query) > 0 {
			list = append(list, fmt.Sprintf("query=%d bytes %s", len(n.Query), short(string(n.Query))))
		}
		for _, d := range n.Details {
			list = append(list, "detail="+d.Type+"="+short(string(d.Value)))
		}
		for _, a := range n.Agents {
			list = append(list, "for "+strings.Join(agentFacts(a), " "))
		}
		line("entity", list...)
	}
	for _, term := range hippad.EntryTerms(hippad.Entry{}, ev) {
		if term.Field == hippad.FieldPatient {
			line("patient", term.Value)
		}
	}
	return b.String()
}

func agentFacts(a hippad.Agent) []string {
	list := []string{refFact("", a.Who), fact("alt", a.AltID), fact("name", a.Name), codeFact("idtype", a.IDType), codeFact("type", a.Type)}
	list = append(list, codeFacts("role", a.Roles)...)
	if a.Requestor {
		list = append(list, "requestor")
	}
	list = append(list, codeFact("media", a.Media), refFact("location=", a.Location), fact("address", a.Address), fact("address-type", a.AddressType))
	for _, p := range a.Policies {
		list = append(list, fact("policy", p))
	}
	return append(list, codeFacts("purpose", a.Purposes)...)
}

func timeFact(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func short(s string) string {
	const most = 40
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%s... (%d)", string(r[:most]), len(r))
	}
	return s
}

func fact(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + short(value)
}

// codeFact shows the display only of what has no code.
func codeFact(name string, c hippad.Code) string {
	text := c.System + "|" + c.Code
	switch {
	case c == hippad.Code{}:
		return ""
	case c.Code == "":
		text = fmt.Sprintf("%s %q", c.System, short(c.Display))
	}
	if name != "" {
		text = name + "=" + text
	}
	return text
}

func codeFacts(name string, codes []hippad.Code) (out []string) {
	for _, c := range codes {
		out = append(out, codeFact(name, c))
	}
	return out
}

func refFact(prefix string, r hippad.Reference) string {
	var parts []string
	if r.Literal != "" {
		parts = append(parts, r.Literal)
	}
	if !r.Identifier.IsZero() {
		parts = append(parts, "id "+r.Identifier.String())
	}
	if r.Display != "" {
		parts = append(parts, fmt.Sprintf("%q", short(r.Display)))
	}
	if len(parts) == 0 {
		return ""
	}
	return prefix + strings.Join(parts, " ")
}
