package breach

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/regulation"
)

// decided tells that a case is not decided to be a breach.
func decided(c Case) error {
	if c.Decision.isBreach() {
		return nil
	}
	return hippad.Errorf(hippad.Conflict, "it is not decided that case %d is a breach", c.ID).WithHint("hippad breach decide --breach; notice may be given without an assessment")
}

// mayNotify tells why no notice of a day can be recorded in a case.
func (b *Breaches) mayNotify(c Case, day regulation.Date) error {
	if err := decided(c); err != nil {
		return err
	}
	switch {
	case day.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day of the notice is missing")
	case day.After(b.today()):
		return hippad.Errorf(hippad.Invalid, "the day of the notice is in the future").WithHint("a notice is recorded when it has been given")
	case day.Before(c.facts(nil).DayZero()):
		return hippad.Errorf(hippad.Invalid, "the day of the notice is before the discovery")
	}
	if until := regulation.BlockedUntil(c.Delays, day); !until.IsZero() {
		return hippad.Errorf(hippad.Conflict, "law enforcement delays notice until %s (164.412)", until)
	}
	return nil
}

func (b *Breaches) checkNotice(c Case, n *Notice) error {
	n.Entry = 0
	if err := all(line("to whom", n.To, false), line("the tracking number", n.Tracking, false), prose("the evidence", n.Evidence, false)); err != nil {
		return err
	}
	if n.Kind == kindSubstitute {
		if n.Substitute == nil {
			return hippad.Errorf(hippad.Invalid, "what the substitute notice was is missing")
		}
		if err := all(prose("the evidence", n.Substitute.Evidence, true), line("the toll-free number", n.Substitute.TollFree, false), n.Substitute.Check(b.today())); err != nil {
			return err
		}
		n.Date = n.Substitute.From
	} else if n.Substitute != nil {
		return hippad.Errorf(hippad.Invalid, "this is no substitute notice")
	}
	overlay := slices.ContainsFunc(b.overlays, func(o regulation.Overlay) bool { return o.Name == n.Kind && !o.Individuals })
	delayed := c
	if overlay {
		delayed.Delays = nil // 164.412 is about the notices of this rule
	}
	if err := b.mayNotify(delayed, n.Date); err != nil {
		return err
	}
	switch n.Kind {
	case kindSubstitute:
		return needsLetter(c)
	case regulation.NoticeIndividual:
		if n.Persons < 1 || strings.TrimSpace(n.Evidence) == "" {
			return hippad.Errorf(hippad.Invalid, "notice to individuals whom no entry names needs their number and the evidence")
		}
		if c.Scope == nil || c.Scope.Estimate <= c.Scope.Individuals {
			return hippad.Errorf(hippad.Conflict, "the case has no individuals whom no entry names").WithHint("hippad breach scope --add --estimate says how many there are in all")
		}
		return needsLetter(c)
	case regulation.NoticeMedia:
		state, ok := regulation.ParseState(n.State)
		if !ok {
			return hippad.Errorf(hippad.Invalid, "a media notice needs its State")
		}
		n.State = state
		if strings.TrimSpace(n.To) == "" {
			return hippad.Errorf(hippad.Invalid, "a media notice needs its outlets (164.406)")
		}
		return needsLetter(c)
	case regulation.NoticeSecretary:
		if strings.TrimSpace(n.Tracking) == "" {
			return hippad.Errorf(hippad.Invalid, "the tracking number of the portal is missing").WithHint("an addendum needs it")
		}
		return nil
	case regulation.NoticeEntity:
		if strings.TrimSpace(n.To) == "" {
			return hippad.Errorf(hippad.Invalid, "the covered entity is missing")
		}
		if len(c.CoveredEntities) > 0 && !slices.ContainsFunc(c.CoveredEntities, func(name string) bool { return strings.EqualFold(name, n.To) }) {
			return hippad.Errorf(hippad.Invalid, "this is none of the covered entities whose data it was").WithHint("they are %s", strings.Join(c.CoveredEntities, "; "))
		}
		return nil
	}
	if !overlay {
		return hippad.Errorf(hippad.Invalid, "there is no such notice").WithHint("hippad breach status names those that are due")
	}
	return nil
}

// needsLetter tells what the letter of a case lacks: no notice is complete without it.
func needsLetter(c Case) error {
	if c.Letter == nil {
		return hippad.Errorf(hippad.Conflict, "the letter is not written").WithHint("hippad breach notify letter; 164.404(c) says what is in it")
	}
	if missing := c.Letter.Missing(); len(missing) > 0 {
		return hippad.Errorf(hippad.Conflict, "the letter is not complete: %s is missing (164.404(c)(1))", strings.Join(missing, ", "))
	}
	return nil
}

// A NoticeRow is the record of a notice to one individual, as a row of a table says it.
type NoticeRow struct {
	Line int `json:"line"`
	regulation.PersonNotice
}

// Notified says what became of a table of notices.
type Notified struct {
	Entered int       `json:"entered"`
	Refused []Refused `json:"refused,omitzero"`
	Reached int       `json:"reached"` // of the individuals of the case, with all that is recorded now
	Of      int       `json:"of"`
	Entry   int64     `json:"entry,omitzero"`
}

const partBytes = 256 << 10

// Notify records notices to individuals: the good rows are taken together or not at all, the others are refused with their lines. It needs
// hippad.ActAnswer and hippad.ActRead, because it looks whom the case affects. A trial writes nothing.
func (b *Breaches) Notify(ctx context.Context, who hippad.Caller, id int64, rows []NoticeRow, trial bool) (Notified, error) {
	if err := b.permit(ctx, who, "notify"); err != nil {
		return Notified{}, err
	}
	c, err := b.open(id)
	if err != nil {
		return Notified{}, err
	}
	if err := all(decided(c), needsLetter(c)); err != nil {
		return Notified{}, err
	}
	affected, err := b.affected(ctx, who, c, "notify")
	if err != nil {
		return Notified{}, err
	}
	out := Notified{Of: len(affected.Persons)}
	good, refused := b.goodRows(c, affected, rows)
	out.Refused = refused
	if len(good) == 0 || trial {
		c.Persons = append(c.Persons, good...)
		out.Entered = len(good)
		days, _ := reached(c, affected)
		out.Reached = len(days)
		return out, nil
	}
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return Notified{}, err
	}
	defer done()
	if c, err = b.open(id); err != nil {
		return Notified{}, err
	}
	if err := all(decided(c), needsLetter(c)); err != nil {
		return Notified{}, err
	}
	if good, out.Refused = b.goodRows(c, affected, rows); len(good) == 0 { // a delay may have come meanwhile
		days, _ := reached(c, affected)
		out.Reached = len(days)
		return out, nil
	}
	if out.Entry, err = b.tell(ctx, who, id, good); err != nil {
		return Notified{}, err
	}
	if c, err = b.find(id); err != nil {
		return Notified{}, err
	}
	days, _ := reached(c, affected)
	out.Entered, out.Reached = len(good), len(days)
	return out, nil
}

// goodRows tells the rows that can be taken from the others.
func (b *Breaches) goodRows(c Case, affected *Affected, rows []NoticeRow) (good []regulation.PersonNotice, refused []Refused) {
	at, today := affected.places(), b.today()
	for _, r := range rows {
		n := r.PersonNotice
		n.Patient, n.Entry = hippad.NewTerm(hippad.FieldPatient, n.Patient).Value, 0
		err := all(line("the patient", n.Patient, true), line("the basis", n.Basis, true), n.Check(today), b.mayNotify(c, n.Date))
		if _, known := at[n.Patient]; err == nil && !known {
			err = hippad.Errorf(hippad.NotFound, "the patient is not one whom the case affects")
		}
		if err != nil {
			message, _ := hippad.Public(err)
			refused = append(refused, Refused{r.Line, message})
			continue
		}
		good = append(good, n)
	}
	return good, refused
}

// tell writes the rows, in parts when they are too many for one entry. It is called with the turn.
func (b *Breaches) tell(ctx context.Context, who hippad.Caller, id int64, rows []regulation.PersonNotice) (int64, error) {
	var parts [][]regulation.PersonNotice
	h := sha256.New()
	size := partBytes
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			return 0, hippad.Errorf(hippad.Invalid, "this cannot be written down")
		}
		_, _ = h.Write(text)
		if size += len(text) + 1; size > partBytes {
			parts, size = append(parts, nil), len(text)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], r)
	}
	t := told{Batch: hex.EncodeToString(h.Sum(nil))}
	if len(parts) == 1 {
		t.Persons = rows
		return b.enter(ctx, who, "individuals were notified of a breach", record{Case: id, Told: &t})
	}
	for i, p := range parts {
		if _, err := b.enter(ctx, who, "individuals were notified of a breach", record{Case: id, Part: &part{t.Batch, i, p}}); err != nil {
			return 0, err
		}
	}
	t.Parts = len(parts)
	return b.enter(ctx, who, "individuals were notified of a breach", record{Case: id, Told: &t})
}

// reached returns, for each individual who has had a notice that counts, the first day of one, and how many of them had nothing but substitute notice. A person may be
// in the tables under several identifiers: what came back under one of them came back.
func reached(c Case, affected *Affected) (days map[int]regulation.Date, substituted int) {
	type same struct {
		person int
		method string
		day    regulation.Date
	}
	at := affected.places()
	returned, direct := map[same]bool{}, map[int]bool{}
	for _, n := range c.Persons {
		if i, ok := at[n.Patient]; ok && !n.Reached() {
			returned[same{i, n.Method, n.Date}] = true
		}
	}
	days = map[int]regulation.Date{}
	for _, n := range c.Persons {
		i, ok := at[n.Patient]
		if !ok || returned[same{i, n.Method, n.Date}] {
			continue
		}
		if day, had := days[i]; !had || n.Date.Before(day) {
			days[i] = n.Date
		}
		if n.Method != regulation.MethodSubstitute {
			direct[i] = true
		}
	}
	return days, len(days) - len(direct)
}
