package fhir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hippad"
)

func TestMetadata(t *testing.T) {
	h, _ := newHandler()
	h.Open = nil // anybody may ask
	h.Base = "https://audit.example"
	for _, b := range bases {
		w := do(h, "GET", b.path+"/metadata", "")
		var c capabilityJSON
		if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || w.Code != 200 || c.FHIRVersion != b.release.String() || c.Kind != "instance" || c.Status != "active" ||
			c.Rest[0].Resource[0].Type != auditEvent || c.Implementation.URL != "https://audit.example"+b.path || !slices.Contains(c.Format, hippad.MediaFHIRXML) {
			t.Fatalf("%d %v %s", w.Code, err, w.Body)
		}
		resource := c.Rest[0].Resource[0]
		var have []string
		for _, i := range append(resource.Interaction, c.Rest[0].Interaction...) {
			have = append(have, i.Code)
		}
		want := []string{"create", "read", "search-type", "batch", "transaction"}
		if b.readOnly {
			want = []string{"read", "search-type"}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: %v", b.path, have)
		}
		if slices.Contains(c.Instantiates, repositoryCapability) != (b.release == R4) {
			t.Errorf("%s: %v", b.path, c.Instantiates)
		}
		for _, p := range resource.SearchParam {
			if found, ok := findParameter(p.Name, b.release.set()); !ok || found.kind != p.Type && !strings.HasSuffix(p.Name, ".identifier") {
				t.Errorf("%s: %s is promised, not kept", b.path, p.Name)
			}
		}
		// What IHE asks of an Audit Record Repository, and what must be there in any case.
		names := make([]string, 0, len(resource.SearchParam))
		for _, p := range resource.SearchParam {
			names = append(names, p.Name)
		}
		for _, name := range strings.Fields("_id _lastUpdated date agent.identifier patient.identifier entity.identifier source.identifier entity-role outcome") {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is missing", b.path, name)
			}
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(names))); len(unique) != len(names) {
			t.Errorf("%s: a parameter is there twice", b.path)
		}
	}
}

// The types and canonical URLs of the parameters are those of the published definitions.
func TestParameterDefinitions(t *testing.T) {
	const schemas = "../../../shared/samples/schemas"
	for r, folder := range map[Release]string{R4: "fhir-r4", R5: "fhir-r5"} {
		files, err := filepath.Glob(filepath.Join(schemas, folder, "SearchParameter-*.json"))
		if err != nil || len(files) == 0 {
			t.Skip("the published definitions are not there")
		}
		published := map[string]string{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var p struct{ URL, Type string }
			if err := json.Unmarshal(text, &p); err != nil {
				t.Fatal(err)
			}
			published[p.URL] = p.Type
		}
		for _, p := range searchParams(r) {
			if p.Definition != "" && published[p.Definition] != p.Type {
				t.Errorf("%v %s: %s is %q there, %q here", r, p.Name, p.Definition, published[p.Definition], p.Type)
			}
		}
	}
}
