package fhir

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

func TestToXML(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"order, attributes, repeats",
			`{"entity":[{"query":"YQ==","what":{"display":"w","reference":"Patient/1"}}],"agent":[{"requestor":true,"who":{"display":"a & <b>\"'"},"policy":["urn:a","urn:b"]}],` +
				`"recorded":"2026-01-01T00:00:00Z","type":{"display":"D","code":"c","system":"s","id":"t1"},"id":"7","resourceType":"AuditEvent","meta":{"lastUpdated":"2026-01-01T00:00:00Z","versionId":"1"}}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><id value="7"/><meta><versionId value="1"/><lastUpdated value="2026-01-01T00:00:00Z"/></meta>` +
				`<type id="t1"><system value="s"/><code value="c"/><display value="D"/></type><recorded value="2026-01-01T00:00:00Z"/>` +
				`<agent><who><display value="a &amp; &lt;b&gt;&#34;&#39;"/></who><requestor value="true"/><policy value="urn:a"/><policy value="urn:b"/></agent>` +
				`<entity><what><reference value="Patient/1"/><display value="w"/></what><query value="YQ=="/></entity></AuditEvent>`},
		{"primitives with more than a value",
			`{"resourceType":"AuditEvent","_recorded":{"id":"r","extension":[{"valueCode":"unknown","url":"http://x.example/why"}]},"outcome":"0","_outcome":{"id":"o"},` +
				`"agent":[{"policy":["urn:a",null,"urn:c"],"_policy":[null,{"extension":[{"url":"u","valueBoolean":false}]},{"id":"z"},{"id":"w"}]}]}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><recorded id="r"><extension url="http://x.example/why"><valueCode value="unknown"/></extension></recorded>` +
				`<outcome id="o" value="0"></outcome><agent><policy value="urn:a"/><policy><extension url="u"><valueBoolean value="false"/></extension></policy>` +
				`<policy id="z" value="urn:c"></policy><policy id="w"></policy></agent></AuditEvent>`},
		{"contained resources and narrative",
			`{"resourceType":"AuditEvent","contained":[{"id":"p","resourceType":"Patient","name":[{"given":["A","B"],"family":"F"}],"active":true},{"resourceType":"Basic","x":1.50}],` +
				`"text":{"div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><b>é</b></div>","status":"generated"}}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><b>é</b></div></text>` +
				`<contained><Patient><id value="p"/><active value="true"/><name><family value="F"/><given value="A"/><given value="B"/></name></Patient></contained>` +
				`<contained><Basic><x value="1.50"/></Basic></contained></AuditEvent>`},
		{"R5", `{"resourceType":"AuditEvent","entity":[{"agent":[{"networkString":"n","who":{"display":"d"}}],"what":{"display":"x"}}],"severity":"alert","code":{"text":"c"},"category":[{"text":"k"}]}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><category><text value="k"/></category><code><text value="c"/></code><severity value="alert"/>` +
				`<entity><what><display value="x"/></what><agent><who><display value="d"/></who><networkString value="n"/></agent></entity></AuditEvent>`},
		{"unknown elements come last, as they came", `{"resourceType":"AuditEvent","zeta":{"b":1,"a":[true]},"alpha":"x","action":"R"}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><action value="R"/><zeta><b value="1"/><a value="true"/></zeta><alpha value="x"/></AuditEvent>`},
		{"what XML cannot say", `{"resourceType":"AuditEvent","a b":1,"xmlx":1,"":1,"action":"","period":{},"outcomeDesc":"a\u0000b\nc\ufffe","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'>&nbsp;</div>"}}`,
			`<AuditEvent xmlns="http://hl7.org/fhir"><outcomeDesc value="a` + "\ufffd" + `b&#xA;c` + "\ufffd" + `"/></AuditEvent>`},
		{"Bundle", `{"type":"searchset","resourceType":"Bundle","entry":[{"search":{"mode":"match"},"resource":{"resourceType":"AuditEvent","action":"R"},"fullUrl":"f","response":{"outcome":{"resourceType":"OperationOutcome","issue":[{"diagnostics":"d","severity":"error"}]},"status":"400"}}],"link":[{"url":"?","relation":"self"}],"total":1}`,
			`<Bundle xmlns="http://hl7.org/fhir"><type value="searchset"/><total value="1"/><link><relation value="self"/><url value="?"/></link><entry><fullUrl value="f"/>` +
				`<resource><AuditEvent><action value="R"/></AuditEvent></resource><search><mode value="match"/></search><response><status value="400"/>` +
				`<outcome><OperationOutcome><issue><severity value="error"/><diagnostics value="d"/></issue></OperationOutcome></outcome></response></entry></Bundle>`},
	} {
		got, err := toXML([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want := xml.Header + c.want; string(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
		wellFormed(t, c.name, got)
	}
}

func TestToXMLRefuses(t *testing.T) {
	deep := `{"resourceType":"AuditEvent","extension":` + strings.Repeat(`[{"url":"u","extension":`, 100) + `[]` + strings.Repeat(`}]`, 100) + `}`
	for _, in := range []string{``, `{`, `[]`, `"x"`, `null`, `{}`, `{"resourceType":"<a>"}`, `{"resourceType":"AuditEvent","a":1,"a":2}`,
		`{"resourceType":"AuditEvent"} x`, "{\"resourceType\":\"AuditEvent\",\"a\":\"\xff\"}", deep, strings.Repeat("[", 9000) + strings.Repeat("]", 9000)} {
		if out, err := toXML([]byte(in)); err == nil || hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%.60q: %v, %.60q", in, err, out)
		}
	}
}

// However hostile, the time is bounded: each of these would take minutes if it were not.
func TestToXMLHostile(t *testing.T) {
	many := func(f func(i int) string) string {
		var b strings.Builder
		for i := range 100_000 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(f(i))
		}
		return b.String()
	}
	digits := func(i int) string { return time.Duration(i).String() }
	for name, in := range map[string]string{
		"members": `{"resourceType":"AuditEvent",` + many(func(i int) string { return `"a` + digits(i) + `":1` }) + `}`,
		"extras":  `{"resourceType":"AuditEvent",` + many(func(i int) string { return `"_a` + digits(i) + `":{"id":"x"}` }) + `}`,
		"values":  `{"resourceType":"AuditEvent","policy":[` + many(digits0) + `]}`,
		"nested":  `{"resourceType":"AuditEvent","a":` + strings.Repeat(`{"a":`, 50) + `[` + many(digits0) + `]` + strings.Repeat(`}`, 50) + `}`,
	} {
		out, err := toXML([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wellFormed(t, name, out)
	}
}

func digits0(int) string { return "1" }

func wellFormed(t tester, name string, body []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v in %s", name, err, body)
		}
	}
}

// What is written of any event reads the same in JSON and in XML, in the order that the schema demands; and the XML, turned into
// JSON, is the JSON that it was made of.
func TestXMLIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		for _, release := range []Release{R4, R5} {
			body := WriteRelease(ev, release)
			asXML, err := toXML(body)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := ReadXML(asXML), Read(body); !reflect.DeepEqual(got, want) {
				t.Fatalf("from XML\n%s\nfrom JSON\n%s\nXML %s\nJSON %s", describeEvent(got), describeEvent(want), asXML, body)
			}
			sameJSON(t, "drawn", asXML, body)
			inOrder(t, "drawn", asXML, release)
		}
	})
}

// sameJSON turns XML into JSON, which must say what want says.
func sameJSON(t tester, name string, asXML, want []byte) {
	t.Helper()
	back, exact, err := fromXML(asXML, true)
	if err != nil || !exact {
		t.Fatalf("%s: exact %v, %v: %s", name, exact, err, asXML)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(back, &a), json.Unmarshal(want, &b)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%s: JSON\n%s\nis as XML\n%s\nand back\n%s", name, want, asXML, back)
	}
}

// inOrder holds the order of the elements of an AuditEvent against HL7's own schema.
func inOrder(t tester, name string, body []byte, r Release) {
	t.Helper()
	order := schemaOrder(t, r)
	if order == nil {
		return
	}
	var types []string // of the open elements; empty below what the schema defines
	var last []int
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch e := token.(type) {
		case xml.StartElement:
			next := ""
			if len(types) == 0 {
				next = e.Name.Local
			} else if parent := types[len(types)-1]; parent != "" {
				at := slices.IndexFunc(order[parent], func(x [2]string) bool { return x[0] == e.Name.Local })
				if at >= 0 {
					if at < last[len(last)-1] {
						t.Errorf("%s: %s in %s is out of order", name, e.Name.Local, parent)
					}
					last[len(last)-1] = at
					next = order[parent][at][1]
				}
			}
			types, last = append(types, next), append(last, 0)
		case xml.EndElement:
			types, last = types[:len(types)-1], last[:len(last)-1]
		}
	}
}

var schemaElement = regexp.MustCompile(`<xs:(complexType name|element name)="([^"]+)"(?:[^>]*? type="([^"]+)")?`)

// schemaOrder returns the elements, with their types, of each type of HL7's schema; nil where it is absent.
func schemaOrder(t tester, r Release) map[string][][2]string {
	folder := map[Release]string{R4: "fhir-r4", R5: "fhir-r5"}[r]
	text, err := os.ReadFile(filepath.Join(samples, "schemas", folder, "auditevent.xsd"))
	if err != nil {
		t.Logf("the schema of %s is absent: %v", r, err)
		return nil
	}
	order, at := make(map[string][][2]string), ""
	for _, m := range schemaElement.FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[1], "complexType") {
			at = m[2]
		} else if at != "" {
			order[at] = append(order[at], [2]string{m[2], m[3]})
		}
	}
	return order
}

// Every element of HL7's two schemas is in our tables, in the same order.
func TestDefinitions(t *testing.T) {
	for r, suffix := range map[Release]string{R4: "4", R5: "5"} {
		order := schemaOrder(t, r)
		if order == nil {
			t.Skip("the schemas are absent")
		}
		for name, elements := range order {
			_, backbone, _ := strings.Cut(name, ".")
			def := typeDefs()[backbone+suffix]
			if name == auditEvent {
				def = typeDefs()[auditEvent+suffix]
			}
			if def == nil {
				t.Errorf("%s of %s has no definition", name, r)
				continue
			}
			last := 0
			for _, e := range elements {
				el, place, known := def.find(e[0])
				if !known || place < last {
					t.Errorf("%s.%s of %s: known %v, at %d", name, e[0], r, known, place)
				}
				last = place
				if _, complex := typeDefs()[e[1]]; complex && el.of != e[1] {
					t.Errorf("%s.%s of %s: a %s, want %s", name, e[0], r, el.of, e[1])
				}
			}
		}
	}
}

// Every sample reads the same in JSON and in the XML that it is turned into; those that are shown as they were sent come back whole.
func TestSamplesAsXML(t *testing.T) {
	bodies, _ := sampleBodies(t)
	whole := 0
	for name, body := range bodies {
		asXML, err := toXML(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ev, is := read(body)
		if is == isOther {
			continue // a value in the wrong place may become another value there
		}
		if got := ReadXML(asXML); !reflect.DeepEqual(got, ev) {
			t.Errorf("%s: from XML\n%s\nfrom JSON\n%s", name, describeEvent(got), describeEvent(ev))
		}
		if _, exact, err := fromXML(asXML, true); err == nil && exact && !bytes.Contains(body, []byte(`"div"`)) {
			sameJSON(t, name, asXML, body)
			whole++
		}
		inOrder(t, name, asXML, map[verdict]Release{isR4: R4, isR5: R5}[is])
	}
	if whole < 50 {
		t.Errorf("only %d came back whole", whole)
	}
	t.Logf("%d of %d came back whole", whole, len(bodies))
}

// FuzzToXML: what can be written is well-formed, and reads as the JSON does, as far as the JSON is of one of the releases and has no
// character or name that XML has not.
func FuzzToXML(f *testing.F) {
	f.Add([]byte(jsonEvent))
	f.Add([]byte(typical))
	f.Add([]byte(`{"resourceType":"AuditEvent","code":{"text":"c"},"entity":[{"detail":[{"type":{"text":"t"},"valueQuantity":{"value":1.50,"unit":"x"}},{"type":{"text":"t"},"valueBoolean":true}]}]}`))
	f.Add([]byte(`{"resourceType":"AuditEvent","entity":[{"detail":[{"type":{"text":"t"},"valueString":"v"}]}]}`)) // of R5, but nothing else says so
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"AuditEvent"}}]}`))
	f.Add([]byte(`{"resourceType":"AuditEvent","contained":[{"id":"p","identifier":[{"value":"1"}]}],"entity":[{"what":{"reference":"#p"}}]}`))
	f.Add([]byte(`{"resourceType":"AuditEvent","entity":[{"detail":[{"value0":{"A":0}}]}]}`))
	f.Add([]byte(`{"resourceType":"AuditEvent","_recorded":{"extension":[{"url":"u"}]},"agent":[{"policy":["a",null],"_policy":[null,{"id":"b"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		out, err := toXML(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the resource was changed")
		}
		if err != nil {
			return
		}
		wellFormed(t, "fuzzed", out)
		ev, is := read(body)
		_, exact, _ := fromXML(out, false)
		if is != isR4 && is != isR5 || !xmlHolds(body, exact) {
			return
		}
		if got := ReadXML(out); !reflect.DeepEqual(got, ev) {
			t.Fatalf("from XML\n%s\nfrom JSON\n%s\n%s", describeEvent(got), describeEvent(ev), out)
		}
	})
}

// xmlHolds tells whether XML can say all of a JSON text. What is a number or a boolean is known only where every element is.
func xmlHolds(body []byte, exact bool) bool {
	var v any
	if json.Unmarshal(bytes.TrimPrefix(body, bom), &v) != nil {
		return false
	}
	var holds func(v any) bool
	holds = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for name, e := range v {
				if !isElementName(name) || !holds(e) || name == "contained" && !typed(e) {
					return false
				}
			}
			return len(v) > 0
		case []any:
			return len(v) > 0 && !slices.ContainsFunc(v, func(e any) bool { return !holds(e) })
		case string:
			return v != "" && fitString(v) == v
		case nil:
			return false
		}
		return exact
	}
	return holds(v)
}

// typed tells whether each resource of a list says of which type it is: in XML that is the name of its element.
func typed(list any) bool {
	all, _ := list.([]any)
	return !slices.ContainsFunc(all, func(e any) bool {
		resource, _ := e.(map[string]any)
		name, _ := resource["resourceType"].(string)
		return !isElementName(name)
	})
}
