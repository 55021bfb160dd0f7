package fhir

import (
	"hippad"
)

type (
	capabilityJSON struct {
		ResourceType   string               `json:"resourceType"`
		Name           string               `json:"name"`
		Title          string               `json:"title"`
		Status         string               `json:"status"`
		Date           string               `json:"date"`
		Description    string               `json:"description"`
		Kind           string               `json:"kind"`
		Instantiates   []string             `json:"instantiates,omitempty"`
		Software       softwareJSON         `json:"software"`
		Implementation implementationJSON   `json:"implementation"`
		FHIRVersion    string               `json:"fhirVersion"`
		Format         []string             `json:"format"`
		Rest           []capabilityRestJSON `json:"rest"`
	}
	softwareJSON struct {
		Name string `json:"name"`
	}
	implementationJSON struct {
		Description string `json:"description"`
		URL         string `json:"url,omitzero"`
	}
	capabilityRestJSON struct {
		Mode          string                   `json:"mode"`
		Documentation string                   `json:"documentation"`
		Security      securityJSON             `json:"security"`
		Resource      []capabilityResourceJSON `json:"resource"`
		Interaction   []codeJSON               `json:"interaction,omitempty"`
	}
	securityJSON struct {
		CORS        bool   `json:"cors"`
		Description string `json:"description"`
	}
	capabilityResourceJSON struct {
		Type              string            `json:"type"`
		Documentation     string            `json:"documentation"`
		Interaction       []codeJSON        `json:"interaction"`
		Versioning        string            `json:"versioning"`
		ReadHistory       bool              `json:"readHistory"`
		UpdateCreate      bool              `json:"updateCreate"`
		ConditionalCreate bool              `json:"conditionalCreate"`
		ConditionalRead   string            `json:"conditionalRead"`
		ConditionalUpdate bool              `json:"conditionalUpdate"`
		ConditionalDelete string            `json:"conditionalDelete"`
		SearchParam       []searchParamJSON `json:"searchParam"`
	}
	codeJSON struct {
		Code string `json:"code"`
	}
	searchParamJSON struct {
		Name          string `json:"name"`
		Definition    string `json:"definition,omitzero"`
		Type          string `json:"type"`
		Documentation string `json:"documentation"`
	}
)

// repositoryCapability is what IHE asks of an Audit Record Repository that offers ITI-81 (BALP 1.1.4).
const repositoryCapability = "https://profiles.ihe.net/ITI/BALP/CapabilityStatement/IHE.BALP.ATNA.AuditRecordRepository"

// metadata answers GET metadata: what this base does, and no more. Anybody may ask.
func (x *exchange) metadata(hippad.Session) error {
	resource := capabilityResourceJSON{
		Type: auditEvent,
		Documentation: "A body is kept byte for byte and never changed or removed. Resources of DSTU2 to R5 are accepted at every base; " +
			"what came in another form, DICOM audit messages for one, is shown in the release of this base. The id is the index in the log, and " +
			"the link of relation " + receiptRelation + " leads to the proof that the entry is in it.",
		Versioning: "no-version", ConditionalRead: "full-support", ConditionalDelete: "not-supported",
		SearchParam: searchParams(x.base.release),
	}
	rest := capabilityRestJSON{
		Mode: "server",
		Documentation: "Search answers newest first, or as _sort has it (date, _lastUpdated, _id); pages go on by the next link, and new entries " +
			"shift none of them. _count is 50 by default and 1000 at most. Parameters joined by commas are alternatives; modifiers are :missing, :not of " +
			"tokens, :exact of strings, :identifier and a type of references. _total and _summary=count are offered; what _include asks for is not held here. " +
			"Parameters that are not known are named in the answer, or refused with Prefer: handling=strict. Every reading is itself recorded.",
		Security: securityJSON{Description: "TLS with the certificate of a member, or a bearer token; everybody may ask for this statement."},
	}
	about := "hippad audit record repository"
	if x.base.readOnly {
		about += ", Retrieve ATNA Audit Event (ITI-81): every search has a date"
		resource.Interaction = []codeJSON{{"read"}, {"search-type"}}
	} else {
		resource.Interaction = []codeJSON{{"create"}, {"read"}, {"search-type"}}
		rest.Interaction = []codeJSON{{"batch"}, {"transaction"}}
	}
	rest.Resource = []capabilityResourceJSON{resource}
	c := capabilityJSON{
		ResourceType: "CapabilityStatement", Name: "Hippad", Title: "hippad", Status: "active", Date: "2026-11-23", Description: about, Kind: "instance",
		Software: softwareJSON{"hippad"}, Implementation: implementationJSON{Description: about},
		FHIRVersion: x.base.release.String(),
		Format:      []string{hippad.MediaFHIRJSON, hippad.MediaFHIRXML, "json", "xml"},
		Rest:        []capabilityRestJSON{rest},
	}
	if x.base.release == R4 {
		c.Instantiates = []string{repositoryCapability}
	}
	if root := x.root(); root != "" {
		c.Implementation.URL = root + x.base.path
	}
	x.answer(200, encode(c))
	return nil
}

func searchParams(r Release) (list []searchParamJSON) {
	for _, p := range parameters {
		if p.in&r.set() != 0 {
			list = append(list, searchParamJSON{p.name, p.definition(r), p.kind, p.about})
		}
	}
	for _, name := range chained {
		list = append(list, searchParamJSON{Name: name, Type: "token", Documentation: "by identifier: system|value, or value"})
	}
	return list
}
