package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hippad"
)

const samples = "../../../shared/samples"

// sampleBodies returns every AuditEvent in JSON, by file name and, in a Bundle, entry; the XML files apart.
func sampleBodies(t testing.TB) (bodies map[string][]byte, xml []string) {
	root := filepath.Join(samples, "fhir-auditevent")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the folder of real samples is absent: ", root)
	}
	bodies = make(map[string][]byte)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(root, path)
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".xml") {
			xml = append(xml, name)
			return nil
		}
		if b, _, err := readBundle(body); err == nil && b.resourceType == "Bundle" {
			for i, entry := range b.entries {
				bodies[fmt.Sprintf("%s#%d", name, i)] = entry.resource
			}
			return nil
		}
		bodies[name] = body
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bodies, xml
}

func TestReadSamples(t *testing.T) {
	bodies, xml := sampleBodies(t)
	type row struct{ understood, r4, r5, unreadable, patients, purposes int }
	rows := make(map[string]*row)
	for name, body := range bodies {
		folder := filepath.Dir(name)
		if rows[folder] == nil {
			rows[folder] = new(row)
		}
		r := rows[folder]
		ev, is := read(body)
		if ev.Unreadable != "" {
			r.unreadable++
			t.Errorf("%s: %s", name, ev.Unreadable)
			continue
		}
		r.understood++
		switch is {
		case isR4:
			r.r4++
		case isR5:
			r.r5++
		}
		if len(ev.Purposes) > 0 {
			r.purposes++
		}
		checkAgainstJSON(t, name, body, ev)
		if slices.ContainsFunc(hippad.EntryTerms(hippad.Entry{}, ev), func(t hippad.Term) bool { return t.Field == hippad.FieldPatient }) {
			r.patients++
		}
		for _, release := range []Release{R4, R5} {
			written := WriteRelease(ev, release)
			if again, want := Read(written), carried(ev, release); !reflect.DeepEqual(again, want) {
				t.Errorf("%s: written as %s and read again it says something else:\n%s\n%s", name, release, describeEvent(again), describeEvent(want))
			}
			validWritten(t, name, written, release)
		}
	}
	for _, folder := range slices.Sorted(mapKeys(rows)) {
		r := rows[folder]
		t.Logf("%-14s understood %3d (of these shown as sent in R4 %3d, in R5 %3d), unreadable %d, with patient %3d, with purpose %d",
			folder, r.understood, r.r4, r.r5, r.unreadable, r.patients, r.purposes)
	}
	for _, name := range xml {
		t.Logf("%s: XML, see TestXMLSamples", name)
	}
	if len(bodies) < 900 || len(xml) == 0 {
		t.Errorf("only %d AuditEvents in JSON and %d in XML found", len(bodies), len(xml))
	}
}

// checkAgainstJSON looks for every reference, identifier value, code and address of the resource, found by walking the
// JSON without knowledge of the releases, in the event. What has no place in an event is left aside by name.
func checkAgainstJSON(t *testing.T, name string, body []byte, ev hippad.Event) {
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	said := describeEvent(ev)
	aside := map[string]bool{"text": true, "meta": true, "contained": true, "extension": true, "id": true, "encounter": true, "basedOn": true,
		"assigner": true, "occurredDateTime": true, "occurredPeriod": true, "version": true, "use": true, "userSelected": true, "implicitRules": true, "language": true,
		"resourceType": true, "recorded": true, "dateTime": true, "query": true, "value": true, "valueString": true}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			concept := v["coding"] != nil
			for k, e := range v {
				if _, isResource := v["resourceType"]; (aside[k] && !(k == "value" && (v["system"] != nil || len(v) == 1))) || (concept && k == "text") || (!isResource && k == "type" && v["reference"] != nil) {
					continue
				}
				if _, isText := e.(string); k == "type" && isText && v["identifier"] != nil {
					continue
				}
				if k == "type" && strings.HasSuffix(path, ".identifier") && !strings.Contains(path, "entity") && !strings.Contains(path, "object") {
					continue // an event has room for the type of an entity's identifier only
				}
				if path == ".outcome.code" && k != "code" {
					continue
				}
				walk(path+"."+k, e)
			}
		case []any:
			for _, e := range v {
				walk(path+"[]", e)
			}
		case string:
			if strings.HasPrefix(v, "#") {
				return
			}
			quoted := fmt.Sprintf("%q", v)
			if !strings.Contains(said, quoted) {
				t.Errorf("%s: %s: not in the event", name, path)
			}
		}
	}
	walk("", doc)
}

// describeEvent spells out every field that says something: Event hides them from fmt.
func describeEvent(ev hippad.Event) string {
	type open hippad.Event
	var b bytes.Buffer
	v := reflect.ValueOf(open(ev))
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			fmt.Fprintf(&b, "%s: %#v\n", v.Type().Field(i).Name, f.Interface())
		}
	}
	return b.String()
}

func mapKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
