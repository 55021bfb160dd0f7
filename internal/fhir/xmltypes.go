package fhir

import (
	"strings"
	"sync"
)

// definitionText lists the elements of the types that an AuditEvent and our answers are made of, in the order in which XML demands
// them (http://hl7.org/fhir/R4/xml.html): a type and its elements a line, an element as name:type, with a star if it repeats. A
// type left out is string, which stands for every primitive that JSON writes in quotes. What begins with > is there before the
// elements of the type. The two releases of a data type differ by elements at most, never by their order.
const definitionText = `
Element id extension:Extension*
Backbone > Element modifierExtension:Extension*
Resource id meta:Meta implicitRules language
Domain > Resource text:Narrative contained:Resource* extension:Extension* modifierExtension:Extension*
AuditEvent4 > Domain type:Coding subtype:Coding* action period:Period recorded outcome outcomeDesc purposeOfEvent:CodeableConcept* agent:Agent4* source:Source4 entity:Entity4*
Agent4 > Backbone type:CodeableConcept role:CodeableConcept* who:Reference altId name requestor:boolean location:Reference policy* media:Coding network:Network4 purposeOfUse:CodeableConcept*
Network4 > Backbone address type
Source4 > Backbone site observer:Reference type:Coding*
Entity4 > Backbone what:Reference type:Coding role:Coding lifecycle:Coding securityLabel:Coding* name description query detail:Detail4*
Detail4 > Backbone type valueString valueBase64Binary
AuditEvent5 > Domain category:CodeableConcept* code:CodeableConcept action severity occurredPeriod:Period occurredDateTime recorded outcome:Outcome5 authorization:CodeableConcept* basedOn:Reference* patient:Reference encounter:Reference agent:Agent5* source:Source5 entity:Entity5*
Outcome5 > Backbone code:Coding detail:CodeableConcept*
Agent5 > Backbone type:CodeableConcept role:CodeableConcept* who:Reference requestor:boolean location:Reference policy* networkReference:Reference networkUri networkString authorization:CodeableConcept*
Source5 > Backbone site:Reference observer:Reference type:CodeableConcept*
Entity5 > Backbone what:Reference role:CodeableConcept securityLabel:CodeableConcept* query detail:Detail5* agent:Agent5*
Detail5 > Backbone type:CodeableConcept value[x]
Bundle > Resource identifier:Identifier type timestamp total:number link:BundleLink* entry:BundleEntry* signature:Signature issues:Resource
BundleLink > Backbone relation url
BundleEntry > Backbone link:BundleLink* fullUrl resource:Resource search:BundleSearch request:BundleRequest response:BundleResponse
BundleSearch > Backbone mode score:number
BundleRequest > Backbone method url ifNoneMatch ifModifiedSince ifMatch ifNoneExist
BundleResponse > Backbone status location etag lastModified outcome:Resource
OperationOutcome > Domain issue:Issue*
Issue > Backbone severity code details:CodeableConcept diagnostics location* expression*
CapabilityStatement > Domain url identifier:Identifier* version versionAlgorithm[x] name title status experimental:boolean date publisher contact:ContactDetail* description useContext:UsageContext* jurisdiction:CodeableConcept* purpose copyright copyrightLabel kind instantiates* imports* software:Software implementation:Implementation fhirVersion format* patchFormat* acceptLanguage* implementationGuide* rest:Rest* messaging:Messaging* document:Document*
Software > Backbone name version releaseDate
Implementation > Backbone description url custodian:Reference
Rest > Backbone mode documentation security:Security resource:RestResource* interaction:Interaction* searchParam:SearchParam* operation:Operation* compartment*
Security > Backbone cors:boolean service:CodeableConcept* description
RestResource > Backbone type profile supportedProfile* documentation interaction:Interaction* versioning readHistory:boolean updateCreate:boolean conditionalCreate:boolean conditionalRead conditionalUpdate:boolean conditionalPatch:boolean conditionalDelete referencePolicy* searchInclude* searchRevInclude* searchParam:SearchParam* operation:Operation*
Interaction > Backbone code documentation
SearchParam > Backbone name definition type documentation
Operation > Backbone name definition documentation
Patient > Domain identifier:Identifier* active:boolean name:HumanName* telecom:ContactPoint* gender birthDate deceased[x] address:Address* maritalStatus:CodeableConcept multipleBirth[x] photo:Attachment* contact:PatientContact* communication:Communication* generalPractitioner:Reference* managingOrganization:Reference link:PatientLink*
PatientContact > Backbone relationship:CodeableConcept* name:HumanName telecom:ContactPoint* address:Address gender organization:Reference period:Period
Communication > Backbone language:CodeableConcept preferred:boolean
PatientLink > Backbone other:Reference type
Practitioner > Domain identifier:Identifier* active:boolean name:HumanName* telecom:ContactPoint* gender birthDate deceased[x] address:Address* photo:Attachment* qualification:Qualification* communication:CodeableConcept*
Qualification > Backbone identifier:Identifier* code:CodeableConcept period:Period issuer:Reference
PractitionerRole > Domain identifier:Identifier* active:boolean period:Period practitioner:Reference organization:Reference code:CodeableConcept* specialty:CodeableConcept* location:Reference* healthcareService:Reference* contact:ContactDetail* telecom:ContactPoint*
Organization > Domain identifier:Identifier* active:boolean type:CodeableConcept* name alias* description telecom:ContactPoint* address:Address* partOf:Reference
Device > Domain identifier:Identifier* displayName definition:Reference udiCarrier:UDI* status statusReason:CodeableConcept* distinctIdentifier manufacturer manufactureDate expirationDate lotNumber serialNumber deviceName:DeviceName* modelNumber partNumber type:CodeableConcept
UDI > Backbone deviceIdentifier issuer jurisdiction carrierAIDC carrierHRF entryType
DeviceName > Backbone name type
Meta > Element versionId lastUpdated source profile* security:Coding* tag:Coding*
Narrative > Element status div:xhtml
Extension > Element url value[x]
Coding > Element system version code display userSelected:boolean
CodeableConcept > Element coding:Coding* text
Identifier > Element use type:CodeableConcept system value period:Period assigner:Reference
Reference > Element reference type identifier:Identifier display
Period > Element start end
Quantity > Element value:number comparator unit system code
Range > Element low:Quantity high:Quantity
Ratio > Element numerator:Quantity denominator:Quantity
Money > Element value:number currency
Attachment > Element contentType language data url size hash title creation height:number width:number frames:number duration:number pages:number
Annotation > Element authorReference:Reference authorString time text
HumanName > Element use text family given* prefix* suffix* period:Period
ContactPoint > Element system value use rank:number period:Period
ContactDetail > Element name telecom:ContactPoint*
Address > Element use type text line* city district state postalCode country period:Period
UsageContext > Element code:Coding value[x]
Signature > Element type:Coding* when who:Reference onBehalfOf:Reference targetFormat sigFormat data
`

// An elementDef defines one element of a type.
type elementDef struct {
	name   string
	of     string // its type: "boolean", "number", "xhtml", "Resource", "string" for any other primitive, or a complex one
	many   bool
	choice bool // name is the beginning of several: value[x]
}

// A typeDef lists the elements of a type in order.
type typeDef struct {
	elements []elementDef
	at       map[string]int // by name; of a choice by its beginning
	choices  []int
}

// typeDefs is made at the first question, as most commands read no XML.
var typeDefs = sync.OnceValue(func() map[string]*typeDef {
	m := make(map[string]*typeDef)
	for line := range strings.Lines(definitionText) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		def := &typeDef{at: make(map[string]int)}
		name, words := words[0], words[1:]
		if words[0] == ">" {
			def.elements = append(def.elements, m[words[1]].elements...)
			words = words[2:]
		}
		for _, w := range words {
			e := elementDef{of: "string"}
			w, e.many = strings.CutSuffix(w, "*")
			if element, of, ok := strings.Cut(w, ":"); ok {
				w, e.of = element, of
			}
			e.name, e.choice = strings.CutSuffix(w, "[x]")
			def.elements = append(def.elements, e)
		}
		for i, e := range def.elements {
			def.at[e.name] = i
			if e.choice {
				def.choices = append(def.choices, i)
			}
		}
		m[name] = def
	}
	return m
})

// anywhere are elements that mean the same wherever they are: what is taken for known inside a type that is not.
var anywhere = map[string]elementDef{
	"extension":         {name: "extension", of: "Extension", many: true},
	"modifierExtension": {name: "modifierExtension", of: "Extension", many: true},
	"contained":         {name: "contained", of: "Resource", many: true},
	"coding":            {name: "coding", of: "Coding", many: true},
	"meta":              {name: "meta", of: "Meta"},
	"text":              {name: "text", of: ""},
}

// find returns the definition of an element, its place among those of the type, and whether it is known there. The type may be nil.
// The definition of what is not known has no type, unless it is known anywhere.
func (t *typeDef) find(name string) (e elementDef, place int, known bool) {
	if t != nil {
		if i, ok := t.at[name]; ok && !t.elements[i].choice {
			return t.elements[i], i, true
		}
		for _, i := range t.choices {
			if of, ok := strings.CutPrefix(name, t.elements[i].name); ok && of != "" {
				return elementDef{name: name, of: choiceType(of)}, i, true
			}
		}
		place = len(t.elements)
	}
	e = anywhere[name]
	e.name = name
	return e, place, false
}

// choiceType returns the type that the end of a name such as valueQuantity says.
func choiceType(of string) string {
	switch of {
	case "Boolean":
		return "boolean"
	case "Integer", "Decimal", "PositiveInt", "UnsignedInt":
		return "number"
	case "Age", "Count", "Distance", "Duration", "SimpleQuantity":
		return "Quantity"
	}
	if _, ok := typeDefs()[of]; ok {
		return of
	}
	return "string"
}

// resourceDef returns the definition of a resource, nil if there is none here. Of an AuditEvent there are two, told by what only R5
// has.
func resourceDef(name string, r5 bool) *typeDef {
	switch {
	case name != auditEvent:
		return typeDefs()[name]
	case r5:
		return typeDefs()["AuditEvent5"]
	}
	return typeDefs()["AuditEvent4"]
}

// onlyR5 tells whether no AuditEvent but one of R5 has the element.
func onlyR5(element string) bool {
	switch element {
	case "code", "category", "authorization", "patient", "encounter", "basedOn", "severity", "occurredDateTime", "occurredPeriod":
		return true
	}
	return false
}
