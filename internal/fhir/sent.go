package fhir

import (
	"bytes"
	"mime"

	"hippad"
)

// verdict is what read says of a body that can be shown as it was sent in this release.
func (r Release) verdict() verdict {
	if r == R5 {
		return isR5
	}
	return isR4
}

// asSent returns the resource of a report as its sender wrote it, in JSON, if it can be shown so in the release: an AuditEvent in which
// nothing was seen that the release does not have, in JSON, or in XML of which every element is known, so that the JSON is the
// one that the sender would have written; and not nested so deeply that toXML would refuse it. Any other report is shown by its
// event, with WriteRelease.
func asSent(report hippad.Report, r Release) (resource []byte, ok bool) {
	media, _, err := mime.ParseMediaType(report.Media)
	if err != nil {
		media = report.Media
	}
	switch media {
	case hippad.MediaFHIRJSON:
		resource = bytes.TrimPrefix(report.Body, bom)
	case hippad.MediaFHIRXML:
		var exact bool
		if resource, exact, err = fromXML(report.Body, true); err != nil || !exact {
			return nil, false
		}
	default:
		return nil, false
	}
	if _, is := read(resource); is != r.verdict() || tooDeep(resource) {
		return nil, false
	}
	return resource, true
}

// tooDeep tells whether toXML might refuse the JSON for its depth. An object is two levels of elements at most, and so is an array.
func tooDeep(resource []byte) bool {
	depth := 0
	for i := 0; i < len(resource); i++ {
		switch resource[i] {
		case '"':
			i += stringEnd(resource[i:]) - 1
		case '{', '[':
			if depth++; depth > maxDepth/2-2 {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
