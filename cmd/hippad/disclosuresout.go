package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/document"
	"hippad/internal/durable"
	"hippad/internal/regulation"
	"hippad/wire"
)

// An accountWriter writes accountings as they come, and keeps none: to stdout, into one file, or into a file for each and a list of the files.
type accountWriter struct {
	cmd     *cobra.Command
	flags   *accountFlags
	format  string
	folder  bool
	to      *bufio.Writer // stdout or the file
	file    *os.File      // nil: stdout
	rename  bool          // file has another name until it is whole, so that a run that fails leaves an older letter as it was
	list    *csv.Writer   // of the files of a folder
	index   *os.File
	table   *csv.Writer
	pdf     *pdfStream
	client  *wire.Client // for receipts; nil before the first
	proved  map[int64]bool
	number  int
	written int // accountings
	wrong   int // answers that are none
	issued  int // accountings that were issued: they are, whatever becomes of the file

	abandoned bool
}

func newAccountWriter(cmd *cobra.Command, x *accountFlags, patients int) (*accountWriter, error) {
	format, err := outputForm(cmd, x.format, x.out)
	if err != nil {
		return nil, err
	}
	w := &accountWriter{cmd: cmd, flags: x, format: format, folder: isFolder(x.out), proved: map[int64]bool{}}
	if format == "html" && patients > 1 && !w.folder {
		return nil, usagef("several patients as HTML need a file each: give --out DIRECTORY/")
	}
	if x.keep != "" {
		if err := os.MkdirAll(x.keep, 0o700); err != nil {
			return nil, err
		}
	}
	switch {
	case w.folder:
		if err := os.MkdirAll(x.out, 0o700); err != nil {
			return nil, err
		}
		w.index, err = os.OpenFile(filepath.Join(x.out, "index.csv"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) { // letters of two runs under one another would go to the wrong patients
			return nil, usagef("--out %s has the letters of an earlier run: want an empty directory", x.out)
		}
		if err != nil {
			return nil, err
		}
		w.list = csv.NewWriter(w.index)
		return w, w.list.Write([]string{"patient", "file", "number", "rows", "open", "refused"})
	case x.out != "":
		if info, err := os.Stat(x.out); err == nil && !info.Mode().IsRegular() { // a pipe, /dev/stdout
			w.file, err = os.OpenFile(x.out, os.O_WRONLY, 0)
			if err != nil {
				return nil, err
			}
		} else if w.file, err = os.CreateTemp(filepath.Dir(x.out), filepath.Base(x.out)+".new-*"); err != nil {
			if p := (*fs.PathError)(nil); errors.As(err, &p) {
				p.Path = x.out
			}
			return nil, err
		} else {
			w.rename = true
		}
		w.to = bufio.NewWriter(w.file)
	default:
		w.to = bufio.NewWriter(cmd.OutOrStdout())
	}
	return w, nil
}

// write takes one answer. What is none is said on stderr, and is in JSON all the same.
func (w *accountWriter) write(o regulation.Organisation, a disclosure.Answer) error {
	w.number++
	problem, hint := accountProblem(a)
	if problem != "" {
		w.wrong++
		fmt.Fprintf(w.cmd.ErrOrStderr(), "hippad: %s: %s\n", printable(a.Patient), printable(problem))
		if hint != "" {
			fmt.Fprintf(w.cmd.ErrOrStderr(), "hippad: %s\n", printable(hint))
		}
	}
	given := problem == ""
	if w.flags.ask.Issue && a.Issued != nil {
		w.issued++
	}
	name := ""
	if given || w.format == "json" {
		if err := w.one(o, a, &name); err != nil {
			return err
		}
	}
	if w.folder {
		if err := w.list.Write([]string{safeCell(a.Patient), name, strconv.FormatInt(a.Number, 10), strconv.Itoa(len(a.Rows)), strconv.Itoa(a.Open), safeCell(problem)}); err != nil {
			return err
		}
	}
	if !given || w.flags.keep == "" {
		return nil
	}
	return w.prove(a)
}

func (w *accountWriter) one(o regulation.Organisation, a disclosure.Answer, name *string) error {
	w.written++
	if w.folder {
		ending := map[string]string{"text": "txt"}[w.format]
		*name = fmt.Sprintf("accounting-%05d.%s", w.number, firstOf(ending, w.format))
		var b bytes.Buffer
		if err := writeAccounting(&b, w.format, o, a); err != nil {
			return err
		}
		return durable.WriteFile(filepath.Join(w.flags.out, *name), b.Bytes(), 0o600)
	}
	switch w.format {
	case "csv":
		if w.table == nil {
			w.table = csv.NewWriter(w.to)
			if err := w.table.Write(accountColumns); err != nil {
				return err
			}
		}
		return writeAccountRows(w.table, a)
	case "pdf":
		if w.pdf == nil {
			w.pdf = newPDFStream(w.to)
		}
		return w.pdf.add(accountingDocument(o, a))
	case "text":
		if w.written > 1 {
			fmt.Fprintln(w.to)
		}
		return accountingDocument(o, a).WriteText(w.to, terminalWidth(w.cmd.OutOrStdout()))
	}
	return writeAccounting(w.to, w.format, o, a)
}

// writeAccounting writes one by itself.
func writeAccounting(to io.Writer, format string, o regulation.Organisation, a disclosure.Answer) error {
	switch format {
	case "json":
		text, err := json.Marshal(a, json.Deterministic(true))
		if err == nil {
			_, err = fmt.Fprintf(to, "%s\n", text)
		}
		return err
	case "csv":
		table := csv.NewWriter(to)
		if err := table.Write(accountColumns); err != nil {
			return err
		}
		if err := writeAccountRows(table, a); err != nil {
			return err
		}
		table.Flush()
		return table.Error()
	case "html":
		return accountingDocument(o, a).WriteHTML(to)
	case "pdf":
		return accountingDocument(o, a).WritePDF(to)
	}
	return accountingDocument(o, a).WriteText(to, 0)
}

// accountProblem is why there is no accounting, or not an issued one.
func accountProblem(a disclosure.Answer) (problem, hint string) {
	switch {
	case len(a.Several) > 0:
		return "names several patients, so there is no answer: " + strings.Join(a.Several, ", "), "say who assigned it, or link them if they are one: hippad crosswalk link"
	case a.Unknown && a.Issued == nil: // else it was issued, to say so
		return "the log has nothing of such a patient; tried " + strings.Join(a.Tried, ", "),
			firstOf(a.Hint, "an identifier is written like urn:oid:1.2.3|4711, 4711^^^&1.2.3&ISO, https://hospital.example/mrn|4711 or Patient/7")
	case a.Refused != "":
		return a.Refused, a.Hint
	}
	return "", ""
}

// accountColumns are those of a CSV; the first is the patient, because one file may be of many.
var accountColumns = []string{"patient", "state", "date", "last", "count", "recipient", "address", "what", "purpose", "basis", "by", "clause", "entries", "remark"}

func writeAccountRows(w *csv.Writer, a disclosure.Answer) error {
	line := func(cells ...string) error {
		for i := range cells {
			cells[i] = safeCell(cells[i])
		}
		return w.Write(append([]string{safeCell(a.Patient)}, cells...))
	}
	for _, r := range a.Rows {
		state, remark := "listed", r.Unless
		if r.Withheld != nil {
			state, remark = "withheld", "until "+r.Withheld.Until.String()
		}
		to, address := recipients(r.Recipients)
		if err := line(state, r.Date.String(), r.Last.String(), strconv.Itoa(r.Count), to, address, r.What, r.Purpose, strings.Join(r.Basis, ", "), r.By, r.Clause, joinEntries(r.Entries), remark); err != nil {
			return err
		}
	}
	for _, p := range a.Research {
		first, last := p.Within(a.From, a.To)
		remark := fmt.Sprintf("%s (researcher's telephone: %s; sponsor: %s, %s, %s)", p.Description, p.Researcher.Phone, p.Sponsor.Name, p.Sponsor.Address, p.Sponsor.Phone)
		if err := line("research", first.String(), last.String(), "", p.Researcher.Name, p.Researcher.Address, p.Records, p.Name, "164.512(i)", "", "164.528(b)(4)", "", remark); err != nil {
			return err
		}
	}
	for _, x := range a.Exempt {
		if err := line("exempt", "", "", strconv.Itoa(len(x.Entries)), "", "", "", "", x.Basis, "", x.Clause, joinEntries(x.Entries), x.Unless); err != nil {
			return err
		}
	}
	for _, d := range a.Review {
		to, address := recipients(d.Recipients)
		if err := line("open", d.Date.String(), "", "1", to, address, d.What, d.Purpose, "", d.By, "", strconv.FormatInt(d.Entry, 10), strings.Join(d.Reasons, "; ")); err != nil {
			return err
		}
	}
	return nil
}

func recipients(all []regulation.Recipient) (names, addresses string) {
	var n, a []string
	for _, r := range all {
		n = append(n, r.Name)
		if r.Address != "" {
			a = append(a, r.Address)
		}
	}
	return strings.Join(n, "; "), strings.Join(a, "; ")
}

// prove fetches receipt and report of every entry of an accounting that was not fetched yet, into files whose names tell nothing.
func (w *accountWriter) prove(a disclosure.Answer) (err error) {
	var want []int64
	take := func(entries ...int64) {
		for _, n := range entries {
			if !w.proved[n] {
				w.proved[n] = true
				want = append(want, n)
			}
		}
	}
	for _, r := range a.Rows {
		take(r.Entries...)
	}
	for _, d := range a.Review {
		take(d.Entry)
	}
	if w.client == nil {
		if w.client, err = w.flags.asOperator(w.cmd.Context()); err != nil {
			return err
		}
	}
	const atOnce = 500
	for first := 0; first < len(want); first += atOnce {
		part := want[first:min(first+atOnce, len(want))]
		for e, err := range w.client.Search(w.cmd.Context(), hippad.Query{Indexes: part}) {
			if err != nil {
				return err
			}
			if err := durable.WriteFile(filepath.Join(w.flags.keep, fmt.Sprintf("%d.body", e.Index)), e.Body, 0o600); err != nil {
				return err
			}
		}
		for _, n := range part {
			receipt, err := w.client.Receipt(w.cmd.Context(), n)
			if err != nil {
				return err
			}
			if err := durable.WriteFile(filepath.Join(w.flags.keep, fmt.Sprintf("%d.tlog-proof", n)), receipt, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends what was written.
func (w *accountWriter) finish() (err error) {
	if w.table != nil {
		w.table.Flush()
		err = w.table.Error()
	}
	if w.pdf != nil {
		err = errors.Join(err, w.pdf.end(nil))
	}
	if w.list != nil {
		w.list.Flush()
		err = errors.Join(err, w.list.Error(), w.index.Close())
		if w.abandoned && w.number == 0 { // no letters that another run could be mistaken for
			err = errors.Join(err, os.Remove(w.index.Name()))
		}
	}
	if w.to != nil {
		err = errors.Join(err, w.to.Flush())
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		switch {
		case !w.rename:
		case err != nil || w.written == 0 || w.abandoned: // an empty file would look like an answer
			err = errors.Join(err, os.Remove(w.file.Name()))
		default:
			err = os.Rename(w.file.Name(), w.flags.out)
		}
	}
	if w.client != nil {
		w.client.Close()
	}
	return err
}

// tellIssued says, where the answers do not come to whoever asked, that they may be issued all the same: to issue them once more would be other accountings, which are
// not free of charge.
func (w *accountWriter) tellIssued(err error) {
	kind := hippad.KindOf(err)
	if w.flags.ask.Issue && (w.issued > 0 || kind == hippad.Unavailable || kind == hippad.Internal) {
		fmt.Fprintf(w.cmd.ErrOrStderr(), "hippad: it ended early: %d accountings or more are issued all the same; hippad disclosures issued lists them, and shows one by its --number\n", w.issued)
	}
}

// abandon ends with an error what was begun. What is complete in a folder or on stdout stays; a file stays as it was.
func (w *accountWriter) abandon(err error) error {
	w.abandoned = true
	w.tellIssued(err)
	if w.pdf != nil {
		_ = w.pdf.end(err)
		w.pdf = nil
	}
	_ = w.finish()
	return err
}

// A pdfStream makes one file of letters that come one by one.
type pdfStream struct {
	letters chan *document.Document
	done    chan error
}

var errAbandoned = errors.New("abandoned")

func newPDFStream(w io.Writer) *pdfStream {
	p := &pdfStream{make(chan *document.Document), make(chan error, 1)}
	var letters iter.Seq2[*document.Document, error] = func(yield func(*document.Document, error) bool) {
		for d := range p.letters {
			if d == nil {
				yield(nil, errAbandoned)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
	go func() {
		p.done <- document.WritePDFs(w, letters)
	}()
	return p
}

// add hands a letter over. If the file cannot be written the error comes at once.
func (p *pdfStream) add(d *document.Document) error {
	select {
	case p.letters <- d:
		return nil
	case err := <-p.done:
		p.done <- err
		if err == nil {
			err = errors.New("the PDF ended early")
		}
		return err
	}
}

// end waits until the file is whole, or, after an error, until nobody writes any more.
func (p *pdfStream) end(why error) error {
	if why != nil {
		_ = p.add(nil)
	}
	close(p.letters)
	return <-p.done
}
