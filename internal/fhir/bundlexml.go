package fhir

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"

	"hippad"
)

// maxBundleXML bounds the elements of a Bundle in XML: as many resources as it may have, of a usual size.
const maxBundleXML = 4_000_000

// A bundleReader finds the resources in a Bundle in XML, and leaves them as they are.
type bundleReader struct {
	body  []byte
	batch batch
	open  []openElement
	cut   cutout // of the resource that is open
	twice bool   // an entry has two resources
}

// An openElement is one that has begun and not ended, with the namespaces that it declares.
type openElement struct {
	name   xml.Name // as it was written: Space is the prefix
	spaces []xml.Attr
}

// A cutout is a resource in the Bundle that is being read.
type cutout struct {
	depth   int             // of its root; 0: none is open
	start   int             // of its root
	insert  int             // behind the name of its root
	foreign map[string]bool // prefixes used that are declared outside; "" for the default namespace
}

// readXMLBundle does for XML what readBundle does for JSON. A resource is a piece of the body, byte for byte, but for the
// namespaces that it uses and that are declared outside it: those are declared at its root.
func readXMLBundle(body []byte) (batch, string, error) {
	const reason = "FHIR XML is not well-formed"
	r := bundleReader{body: bytes.TrimPrefix(body, bom)}
	d := xml.NewDecoder(bytes.NewReader(r.body))
	roots := 0
	for elements := 0; ; {
		start := int(d.InputOffset())
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r.batch, reason, nil
		}
		switch t := token.(type) {
		case xml.StartElement:
			if elements++; elements > maxBundleXML {
				return r.batch, "", hippad.Errorf(hippad.TooLarge, "a Bundle in XML may have %d elements", maxBundleXML)
			}
			if len(r.open) == 0 {
				roots++
			}
			if len(r.open) > 2*maxDepth {
				return r.batch, "FHIR XML: " + errXMLDepth.Error(), nil
			}
			if err := r.start(t, start); err != nil {
				return r.batch, "", err
			}
		case xml.EndElement:
			if len(r.open) == 0 || r.open[len(r.open)-1].name != t.Name {
				return r.batch, reason, nil
			}
			r.end(int(d.InputOffset()))
		}
	}
	if roots != 1 || len(r.open) > 0 {
		return r.batch, reason, nil
	}
	if r.twice {
		return r.batch, "FHIR XML: an entry has more than one resource", nil
	}
	return r.batch, "", nil
}

// path tells whether the open elements are those named, from the root on.
func (r *bundleReader) path(names ...string) bool {
	return len(r.open) == len(names) && slices.EqualFunc(r.open, names, func(o openElement, name string) bool { return o.name.Local == name })
}

func (r *bundleReader) start(t xml.StartElement, at int) error {
	element := openElement{name: t.Name}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			element.spaces = append(element.spaces, a)
		}
	}
	b := &r.batch
	switch {
	case len(r.open) == 0:
		b.resourceType = t.Name.Local
	case r.path("Bundle") && t.Name.Local == "type":
		b.kind = valueOf(t)
	case r.path("Bundle") && t.Name.Local == "entry":
		if len(b.entries) == maxEntries {
			return errTooMany
		}
		b.entries = append(b.entries, batchEntry{})
	case r.path("Bundle", "entry", "request") && t.Name.Local == "method":
		b.entries[len(b.entries)-1].method = valueOf(t)
	case r.path("Bundle", "entry", "request") && t.Name.Local == "url":
		b.entries[len(b.entries)-1].url = valueOf(t)
	case r.path("Bundle", "entry", "resource"):
		r.cut = cutout{depth: len(r.open) + 1, start: at, insert: at + 1 + len(t.Name.Local), foreign: map[string]bool{}}
		if t.Name.Space != "" {
			r.cut.insert += len(t.Name.Space) + 1
		}
	}
	r.open = append(r.open, element)
	if r.cut.depth > 0 {
		r.uses(t.Name.Space)
		for _, a := range t.Attr {
			if a.Name.Space != "" && a.Name.Space != "xmlns" && a.Name.Space != "xml" {
				r.uses(a.Name.Space)
			}
		}
	}
	return nil
}

func valueOf(t xml.StartElement) string {
	for _, a := range t.Attr {
		if a.Name.Space == "" && a.Name.Local == "value" {
			return a.Value
		}
	}
	return ""
}

// uses notes a prefix that nothing inside the resource declares.
func (r *bundleReader) uses(prefix string) {
	for _, o := range r.open[r.cut.depth-1:] {
		if _, ok := o.declares(prefix); ok {
			return
		}
	}
	r.cut.foreign[prefix] = true
}

func (o openElement) declares(prefix string) (string, bool) {
	for _, a := range o.spaces {
		if prefix == "" && a.Name.Space == "" || prefix != "" && a.Name.Space == "xmlns" && a.Name.Local == prefix {
			return a.Value, true
		}
	}
	return "", false
}

// end closes the innermost element, which ends at a byte, and takes the resource if that is what it is.
func (r *bundleReader) end(at int) {
	if r.cut.depth == len(r.open) && r.cut.depth > 0 {
		e := &r.batch.entries[len(r.batch.entries)-1]
		r.twice = r.twice || e.resource != nil
		e.resource = r.resource(at)
		r.cut = cutout{}
	}
	r.open = r.open[:len(r.open)-1]
}

// resource cuts out what ends at a byte.
func (r *bundleReader) resource(end int) []byte {
	var declared bytes.Buffer
	prefixes := make([]string, 0, len(r.cut.foreign))
	for prefix := range r.cut.foreign {
		prefixes = append(prefixes, prefix)
	}
	slices.Sort(prefixes)
	for _, prefix := range prefixes {
		for _, o := range slices.Backward(r.open[:r.cut.depth-1]) {
			space, ok := o.declares(prefix)
			if !ok {
				continue
			}
			declared.WriteString(" xmlns")
			if prefix != "" {
				declared.WriteString(":" + prefix)
			}
			declared.WriteString(`="`)
			_ = xml.EscapeText(&declared, []byte(space)) // a Buffer takes everything
			declared.WriteByte('"')
			break
		}
	}
	if declared.Len() == 0 {
		return r.body[r.cut.start:end:end]
	}
	return slices.Concat(r.body[r.cut.start:r.cut.insert], declared.Bytes(), r.body[r.cut.insert:end])
}
