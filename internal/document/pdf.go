package document

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// WritePDF writes the document as a PDF on US Letter paper.
func (d *Document) WritePDF(w io.Writer) error {
	return WritePDFs(w, func(yield func(*Document, error) bool) { yield(d, nil) })
}

// WritePDFs writes many documents into one PDF; each begins on a page of its own and counts its pages from 1. Title, language and date of the file
// are those of the first. Nothing is written when docs yields an error, or nothing. The pages are held in memory, some KB each, until all are there.
func WritePDFs(w io.Writer, docs iter.Seq2[*Document, error]) error {
	p, err := newPen()
	if err != nil {
		return err
	}
	n := 0
	for d, err := range docs {
		if err != nil {
			return err
		}
		if n == 0 {
			p.describe(d)
		}
		n++
		d.draw(p)
		if err := p.pdf.Error(); err != nil {
			return fmt.Errorf("draw document %d: %w", n, err)
		}
	}
	if n == 0 {
		return errors.New("there is no document to draw")
	}
	if err := p.pdf.Output(w); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// draw lays the document out twice: once to know how many pages there are, and once to draw them.
func (d *Document) draw(p *pen) {
	first := newLayout(d, p)
	first.run()
	second := newLayout(d, p)
	second.pages, second.drawing = first.page, true
	second.run()
}

// describe sets what the file says about itself. The time of its making is that of the document, so that the same document is the same file.
func (p *pen) describe(d *Document) {
	title, language, made := plain(d.Title), d.language(), dated(d.Date)
	p.pdf.SetTitle(title, true)
	p.pdf.SetLang(language)
	p.pdf.SetProducer("hippad", true)
	p.pdf.SetCreationDate(made)
	p.pdf.SetModificationDate(made)
	var x bytes.Buffer
	x.WriteString("<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n" +
		`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
		`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">`)
	xml.EscapeText(&x, []byte(title)) // into memory: no error
	x.WriteString("</rdf:li></rdf:Alt></dc:title><dc:language><rdf:Bag><rdf:li>" + language +
		"</rdf:li></rdf:Bag></dc:language></rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>")
	p.pdf.SetXmpMetadata(x.Bytes())
}

// dated returns the day that a date says; a day of its own if it is not to be understood, because a PDF without one gets the day of today.
func dated(date string) time.Time {
	for _, form := range []string{time.DateOnly, "January 2, 2006", "2 January 2006", "01/02/2006", time.RFC3339} {
		if t, err := time.Parse(form, date); err == nil && t.Year() >= 1900 {
			return t.UTC()
		}
	}
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
}
