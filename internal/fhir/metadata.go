package fhir

import (
	"net/http"

	"hippad"
)

type (
	capabilityJSON struct {
		ResourceType   string               `json:"resourceType"`
		Status         string               `json:"status"`
		Date           string               `json:"date"`
		Kind           string               `json:"kind"`
		Software       map[string]string    `json:"software"`
		Implementation map[string]string    `json:"implementation"`
		FHIRVersion    string               `json:"fhirVersion"`
		Format         []string             `json:"format"`
		Rest           []capabilityRestJSON `json:"rest"`
	}
	capabilityRestJSON struct {
		Mode          string                   `json:"mode"`
		Documentation string                   `json:"documentation"`
		Resource      []capabilityResourceJSON `json:"resource"`
		Interaction   []codeJSON               `json:"interaction"`
	}
	capabilityResourceJSON struct {
		Type          string            `json:"type"`
		Documentation string            `json:"documentation"`
		Interaction   []codeJSON        `json:"interaction"`
		Versioning    string            `json:"versioning"`
		SearchParam   []searchParamJSON `json:"searchParam"`
	}
	codeJSON struct {
		Code string `json:"code"`
	}
	searchParamJSON struct {
		Name          string `json:"name"`
		Type          string `json:"type"`
		Documentation string `json:"documentation"`
	}
)

// metadata answers GET /fhir/metadata: what this door does, and no more. Anybody may ask.
func (h *Handler) metadata(w http.ResponseWriter, _ *http.Request, _ hippad.Session) error {
	resource := capabilityResourceJSON{
		Type: auditEvent,
		Documentation: "A body is kept byte for byte and never changed or removed. DSTU2, STU3 and R5 shapes are accepted; " +
			"reports that came as DICOM audit messages are shown as R4. The id is the index in the log, and the link of relation " +
			receiptRelation + " leads to the proof that the entry is in it.",
		Interaction: []codeJSON{{"create"}, {"read"}, {"search-type"}},
		Versioning:  "no-version",
	}
	for _, p := range parameters {
		resource.SearchParam = append(resource.SearchParam, searchParamJSON{p.name, p.kind, p.about})
	}
	answer(w, http.StatusOK, encode(capabilityJSON{
		ResourceType:   "CapabilityStatement",
		Status:         "active",
		Date:           "2026-11-22",
		Kind:           "instance",
		Software:       map[string]string{"name": "hippad"},
		Implementation: map[string]string{"description": "hippad audit record repository"},
		FHIRVersion:    "4.0.1",
		Format:         []string{"json", hippad.MediaFHIRJSON},
		Rest: []capabilityRestJSON{{
			Mode: "server",
			Documentation: "Search answers newest first; pages go on by the next link. _count is 50 by default and 1000 at most. " +
				"Parameters joined by commas are alternatives. Every reading is itself recorded.",
			Resource:    []capabilityResourceJSON{resource},
			Interaction: []codeJSON{{"batch"}, {"transaction"}},
		}},
	}))
	return nil
}
