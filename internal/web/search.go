package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// perPage is how many entries a page of results shows.
const perPage = 50

const maxTerm = 512 // bytes of what is searched for

// searchData is the form of a search as it was filled in, and what was found. The form is sent by POST only: an address
// stands in histories, logs and screens, and these fields hold patient data.
type searchData struct {
	Patient, Agent, From, To string
	OnlyPatient              bool // the caller sees one patient anyway
	Done                     bool // there was a search
	Rows                     []row
	Before                   string // the cursor of this page; empty for the first
	Next                     string // the cursor of the next page; empty when there is none
}

// A row is an entry in a table.
type row struct {
	Index                                int64
	When, Who, What, Whose, Source, Mark string
}

func (h *Handler) searchForm(w http.ResponseWriter, r *http.Request) error {
	return h.show(w, r, http.StatusOK, "search", page{Title: "Search"}, searchData{OnlyPatient: h.Caller(r).OnlyPatient()})
}

// search answers a search by one reading of the log. The session has it recorded before it yields anything.
func (h *Handler) search(w http.ResponseWriter, r *http.Request) error {
	c := h.Caller(r)
	f := r.PostForm
	d := searchData{
		Patient: f.Get("patient"), Agent: f.Get("agent"), From: f.Get("from"), To: f.Get("to"), Before: f.Get("before"),
		OnlyPatient: c.OnlyPatient(),
	}
	q, err := d.query()
	if err != nil {
		p, status := again(page{Title: "Search"}, err)
		return h.show(w, r, status, "search", p, d)
	}
	q.Limit = perPage + 1
	for e, err := range h.Open(c).Search(r.Context(), q) {
		if err != nil {
			return err
		}
		if len(d.Rows) == perPage {
			d.Next = strconv.FormatInt(d.Rows[perPage-1].Index, 10)
			break
		}
		d.Rows = append(d.Rows, h.row(e))
	}
	d.Done = true
	return h.show(w, r, http.StatusOK, "search", page{Title: "Search"}, d)
}

// query reads the form. Its errors quote nothing of it.
func (d searchData) query() (q hippad.Query, err error) {
	for _, t := range []struct {
		field hippad.Field
		value string
	}{{hippad.FieldPatient, d.Patient}, {hippad.FieldAgent, d.Agent}} {
		if len(t.value) > maxTerm {
			return q, hippad.Errorf(hippad.Invalid, "what is searched for has at most %d bytes", maxTerm)
		}
		if term := hippad.NewTerm(t.field, t.value); term.Value != "" {
			q.Terms = append(q.Terms, []hippad.Term{term})
		}
	}
	if q.From, err = day(d.From, 0); err != nil {
		return q, err
	}
	if q.To, err = day(d.To, 1); err != nil {
		return q, err
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return q, hippad.Errorf(hippad.Invalid, "the last day is before the first one")
	}
	if d.Before != "" {
		before, ok := index(d.Before)
		if !ok {
			return q, hippad.Errorf(hippad.Invalid, "this page of the results is not there")
		}
		q.Before = &before
	}
	return q, nil
}

// day reads a day, in UTC, and returns its beginning, or that of so many days later.
func day(s string, later int) (time.Time, error) {
	if s = strings.TrimSpace(s); s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, hippad.Errorf(hippad.Invalid, "a day is written as in 2026-11-23")
	}
	return t.AddDate(0, 0, later), nil
}

// row makes the line of a table from an entry.
func (h *Handler) row(e hippad.Entry) row {
	ev := h.Read(e.Report)
	n := row{Index: e.Index, When: when(hippad.EventTime(e, ev)), Mark: mark(e, ev)}
	n.What = codeWords(ev.Type)
	if len(ev.Subtypes) > 0 {
		n.What = codeWords(ev.Subtypes[0])
	}
	if a := actionOf(ev.Action); a != "" && a != n.What {
		n.What = strings.TrimPrefix(n.What+", "+a, ", ")
	}
	var who, whose []string
	for _, a := range ev.Agents {
		if a.Requestor {
			who = append(who, agentName(a))
		}
	}
	if len(who) == 0 && len(ev.Agents) > 0 {
		who = append(who, agentName(ev.Agents[0]))
	}
	for _, n := range ev.Entities {
		if n.IsPatient() {
			whose = append(whose, first(n.Name, reference(n.What)))
		}
	}
	n.Who, n.Whose, n.Source = some(who), some(whose), some([]string{first(reference(ev.Source.Observer), ev.Source.Site)})
	return n
}

// some joins the first few of a list for a table.
func some(list []string) string {
	more := ""
	if len(list) > 3 {
		list, more = list[:3], " …"
	}
	return cut(clean(strings.Join(list, ", ")), 120) + more
}

// first returns the first of the texts that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func agentName(a hippad.Agent) string { return first(a.Name, reference(a.Who), a.AltID, a.Address) }

// reference shows what somebody points at.
func reference(r hippad.Reference) string {
	id := r.Identifier.Value
	if r.Identifier.System != "" {
		id += " (" + r.Identifier.System + ")"
	}
	return first(id, r.Literal, r.Display)
}

func actionOf(code string) string {
	return map[string]string{"C": "create", "R": "read", "U": "update", "D": "delete", "E": "execute"}[code]
}

func outcomeOf(code string) string {
	words := map[string]string{"0": "success", "4": "minor failure", "8": "serious failure", "12": "major failure"}
	return first(words[code], code)
}

// mark says what is out of the ordinary about an entry.
func mark(e hippad.Entry, ev hippad.Event) string {
	var marks []string
	if e.Destroyed {
		return "content destroyed"
	}
	if f := e.Fault.String(); f != "" {
		marks = append(marks, f)
	}
	if ev.Unreadable != "" {
		marks = append(marks, hippad.MarkUnreadable)
	}
	if ev.Outcome != "" && ev.Outcome != "0" {
		marks = append(marks, outcomeOf(ev.Outcome))
	}
	return clean(strings.Join(marks, ", "))
}
