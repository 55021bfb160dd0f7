package web

import (
	"fmt"
	"net/http"
	"strings"

	"hippad"
)

const (
	maxRows = 200  // facts of one sort that an entry's page shows
	maxFact = 4096 // characters of one fact
)

// A fact is a line of what an event says.
type fact struct{ Name, Value string }

// A group is a part of an event: one agent, one entity.
type group struct {
	Name  string
	Facts []fact
}

type entryData struct {
	Index     int64
	Facts     []fact
	Groups    []group
	Body      string
	BodyNote  string
	Provable  bool // the caller may have the receipt
	Destroyed bool
}

// entry shows one entry. That there is none and that it is not the caller's to see is one answer.
func (h *Handler) entry(w http.ResponseWriter, r *http.Request) error {
	missing := hippad.Errorf(hippad.NotFound, "there is no such entry, or it is not for you")
	i, ok := index(r.PathValue("index"))
	if !ok {
		return missing
	}
	c := h.Caller(r)
	for e, err := range h.Open(c).Search(r.Context(), hippad.Query{Indexes: []int64{i}, Limit: 1}) {
		if err != nil {
			return err
		}
		d := h.describe(e)
		d.Provable = c.May(hippad.ActProve)
		return h.show(w, r, http.StatusOK, "entry", page{Title: fmt.Sprintf("Entry %d", i)}, d)
	}
	return missing
}

// describe makes everything of an entry's page.
func (h *Handler) describe(e hippad.Entry) entryData {
	ev := h.Read(e.Report)
	d := entryData{Index: e.Index, Destroyed: e.Destroyed}
	l := &facts{}
	if !e.Destroyed {
		l.add("Event", codeWords(ev.Type))
		for _, s := range ev.Subtypes {
			l.add("Type", codeWords(s))
		}
		l.add("Action", actionOf(ev.Action))
		l.add("When", when(ev.Recorded))
		l.add("Outcome", outcomeOf(ev.Outcome))
		l.add("Outcome description", ev.OutcomeDescription)
		l.codes("Purpose", ev.Purposes)
		l.add("Source", reference(ev.Source.Observer))
		l.add("Site", ev.Source.Site)
		l.codes("Source type", ev.Source.Types)
		if ev.Unreadable != "" {
			l.add("Unreadable", ev.Unreadable)
		}
		l.add("Reported by", e.Reporter.String())
		l.add("Reporter's name", e.Reporter.Name)
		l.add("Reporter's organisation", e.Reporter.Organisation)
	}
	l.add("Came by", e.Door.String())
	l.add("Received", when(e.Received))
	l.add("Media type", e.Media)
	l.add("Fault", e.Fault.String())
	d.Facts = l.list
	if e.Destroyed {
		return d
	}
	for i, a := range ev.Agents {
		if len(d.Groups) == maxRows {
			d.Groups = append(d.Groups, group{Name: fmt.Sprintf("and %d more agents", len(ev.Agents)-i)})
			break
		}
		d.Groups = append(d.Groups, agentGroup(a))
	}
	shown := len(d.Groups)
	for i, n := range ev.Entities {
		if len(d.Groups)-shown == maxRows {
			d.Groups = append(d.Groups, group{Name: fmt.Sprintf("and %d more objects", len(ev.Entities)-i)})
			break
		}
		d.Groups = append(d.Groups, entityGroup(n))
	}
	d.Body, d.BodyNote = pretty(e.Media, e.Body)
	return d
}

func agentGroup(a hippad.Agent) group {
	l := &facts{}
	l.add("Name", a.Name)
	l.add("Id", reference(a.Who))
	l.add("Other id", a.AltID)
	l.add("Type", codeWords(a.Type))
	l.codes("Role", a.Roles)
	l.add("Address", a.Address)
	l.add("Location", reference(a.Location))
	l.add("Medium", codeWords(a.Media))
	for _, p := range a.Policies {
		l.add("Policy", p)
	}
	l.codes("Purpose", a.Purposes)
	name := "Agent"
	if a.Requestor {
		name = "Agent, the requestor"
	}
	return group{name, l.list}
}

func entityGroup(n hippad.Entity) group {
	l := &facts{}
	l.add("Name", n.Name)
	l.add("Id", reference(n.What))
	l.add("Kind of id", codeWords(n.IDType))
	l.add("Type", codeWords(n.Type))
	l.add("Role", codeWords(n.Role))
	l.add("Lifecycle", codeWords(n.Lifecycle))
	l.codes("Label", n.Labels)
	l.add("Description", n.Description)
	l.add("Query", string(head(n.Query)))
	for _, d := range n.Details {
		l.add(first(d.Type, "Detail"), string(head(d.Value)))
	}
	name := "Object"
	if n.IsPatient() {
		name = "Patient"
	}
	return group{name, l.list}
}

// head is as much of a value as can be shown: a character has at most four bytes.
func head(b []byte) []byte { return b[:min(len(b), 4*maxFact)] }

// facts gathers what is not empty, cleaned and cut.
type facts struct{ list []fact }

func (l *facts) add(name, value string) {
	if value == "" || len(l.list) > maxRows {
		return
	}
	if len(l.list) == maxRows {
		l.list = append(l.list, fact{"", "there is more than is shown"})
		return
	}
	l.list = append(l.list, fact{cut(clean(name), 100), cut(clean(strings.TrimSpace(value)), maxFact)})
}

func (l *facts) codes(name string, list []hippad.Code) {
	for _, c := range list {
		l.add(name, codeWords(c))
	}
}
