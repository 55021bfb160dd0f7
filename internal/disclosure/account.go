package disclosure

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"hippad"
	"hippad/internal/regulation"
)

// MaxPatients is how many patients are answered for at once.
const MaxPatients = 200

// An Ask asks for accountings.
type Ask struct {
	Patients  []string        `json:"patients"`
	Requested regulation.Date `json:"requested,omitzero"` // zero: today
	From      regulation.Date `json:"from,omitzero"`
	To        regulation.Date `json:"to,omitzero"`
	Every     bool            `json:"every,omitzero"`
	Officer   bool            `json:"officer,omitzero"`
	Request   int64           `json:"request,omitzero"` // the request that is answered, which says day, period and patient
	Issue     bool            `json:"issue,omitzero"`   // keep it as given, and close the request
	Empty     bool            `json:"empty,omitzero"`   // of whom the log has nothing too: such a patient is to be answered as well
}

// An Answer is one patient's accounting, and what came of issuing it.
type Answer struct {
	regulation.Accounting
	Refused string             `json:"refused,omitzero"` // why there is none, or why it was not issued
	Hint    string             `json:"hint,omitzero"`
	Issued  *regulation.Issued `json:"issued,omitzero"`
}

// Account answers for patients, in the order asked. What is wrong with one, a patient whom the log does not know for one, does not keep the others
// from their answers. It needs hippad.ActAnswer.
func (d *Disclosures) Account(ctx context.Context, who hippad.Caller, ask Ask) ([]Answer, error) {
	if err := d.permit(ctx, who, "account"); err != nil {
		return nil, err
	}
	if err := d.complete(&ask); err != nil {
		return nil, err
	}
	question := regulation.Question{Requested: ask.Requested, From: ask.From, To: ask.To, Today: d.today(), Every: ask.Every, Officer: ask.Officer}
	if _, _, err := question.Window(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("accounting requested=%v patient=%s", ask.Requested, strings.Join(ask.Patients, ","))
	reading, err := d.Repository.Consult(ctx, who, d.note(text))
	if err != nil {
		return nil, err
	}
	classifier, rules, version := d.rules()
	answers := make([]Answer, len(ask.Patients))
	err = each(ctx, len(ask.Patients), func(ctx context.Context, i int) error {
		patient := ask.Patients[i]
		s := d.subject(patient)
		rules := rules
		rules.Suspensions = d.suspensionsOf(s, rules.Suspensions)
		account, err := regulation.NewAccount(question, rules)
		if err != nil {
			return err
		}
		for e, err := range reading.Search(ctx, hippad.Query{Terms: [][]hippad.Term{{term(patient)}}, Ascending: true}) {
			if err != nil {
				return fmt.Errorf("search a patient's entries: %w", err)
			}
			ev := d.Repository.Read(e.Report)
			if s.meet(&ev) {
				account.Add(classifier.Classify(e, ev))
			}
		}
		answers[i].Accounting = s.answer(account.Finish(), reading.Size())
		return nil
	})
	if err != nil || !ask.Issue {
		return answers, err
	}
	for i := range answers {
		err := d.issue(ctx, who, ask, version, &answers[i])
		if err == nil {
			continue
		}
		if kind := hippad.KindOf(err); i == 0 && kind != hippad.Conflict && kind != hippad.NotFound {
			return nil, err // nothing was issued
		}
		answers[i].Refused, answers[i].Hint = hippad.Public(err)
	}
	return answers, nil
}

// complete checks what is asked, and fills it in from a request.
func (d *Disclosures) complete(ask *Ask) error {
	if ask.Request != 0 {
		d.mu.RLock()
		r := d.state.request(ask.Request)
		d.mu.RUnlock()
		switch {
		case r == nil:
			return noRequest(ask.Request)
		case len(ask.Patients) > 1 || len(ask.Patients) == 1 && !slices.Contains(d.tried(r.Patient), term(ask.Patients[0]).Value):
			return hippad.Errorf(hippad.Invalid, "the request is of another patient")
		case !ask.Requested.IsZero() || !ask.From.IsZero() || !ask.To.IsZero():
			return hippad.Errorf(hippad.Invalid, "the request says the day and the period")
		}
		ask.Patients, ask.Requested, ask.From, ask.To = []string{r.Patient}, r.Received, r.From, r.To
	}
	if len(ask.Patients) == 0 || len(ask.Patients) > MaxPatients {
		return hippad.Errorf(hippad.Invalid, "want 1 to %d patients at once", MaxPatients)
	}
	for i, p := range ask.Patients {
		if err := checkPatient(p); err != nil {
			message, hint := hippad.Public(err)
			return hippad.Errorf(hippad.Invalid, "patient %d: %s", i+1, message).WithHint("%s", hint)
		}
	}
	if ask.Requested.IsZero() {
		ask.Requested = d.today()
	}
	if ask.Issue && ask.Officer {
		return hippad.Errorf(hippad.Invalid, "the officer's copy is not issued: it has what is withheld from the patient")
	}
	if ask.Empty && !ask.Issue {
		return hippad.Errorf(hippad.Invalid, "an empty accounting is one that is issued").WithHint("say --issue too")
	}
	return nil
}

// rules returns what accountings follow, as it is now, and a number that is another one when it has changed.
func (d *Disclosures) rules() (*regulation.Classifier, regulation.Rules, int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rules := regulation.Rules{Organisation: d.Organisation, Suspensions: slices.Clone(d.state.suspensions), Protocols: slices.Clone(d.state.protocols)}
	return regulation.NewClassifier(d.Organisation, d.decision), rules, d.state.rules
}

func (d *Disclosures) decision(entry int64) (regulation.Decision, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	x, ok := d.state.decisions[entry]
	return x, ok
}

// each calls f with every number below n, as many at a time as there are processors. It returns the first error.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// A subject is a patient who is asked for, and whom the log knows by that.
type subject struct {
	asked  string
	tried  []string
	known  bool
	unique bool     // see hippad.Unique
	named  []string // whom the identifier names
	beside []string // whom entities name by who assigned it that have the identifier as a reference without its server
	same   func(hippad.Term) []hippad.Term
}

func (d *Disclosures) subject(patient string) *subject {
	t := term(patient)
	return &subject{asked: patient, tried: d.tried(patient), unique: hippad.Unique(t.Value), same: d.Repository.Same}
}

// maxNamed bounds the different patients that are told of.
const maxNamed = 20

// meet takes note of whom an event is about, and tells whether it may be about the patient: a parent who reads a child's record is found with it and is none of those
// whose data it was. 4711 alone is a patient in every hospital: if several say that it is theirs, there is no answer that does not show one patient another's.
func (s *subject) meet(ev *hippad.Event) bool {
	s.known = true
	if s.bystander(ev) {
		return false
	}
	if !s.unique && len(s.named) < maxNamed && len(s.beside) < maxNamed {
		s.note(ev)
	}
	return true
}

// bystander tells whether an event that a search found is about the data of others alone, and the patient only took part in it.
func (s *subject) bystander(ev *hippad.Event) bool {
	patient := func(a hippad.Agent) bool { return a.Who.IsPatient() }
	took := slices.ContainsFunc(ev.Agents, patient) || slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool { return slices.ContainsFunc(n.Agents, patient) })
	if !took || !slices.ContainsFunc(ev.Entities, hippad.Entity.IsPatient) {
		return false
	}
	of := hippad.Event{Entities: slices.Clone(ev.Entities)}
	for i := range of.Entities {
		of.Entities[i].Agents = nil
	}
	return !slices.ContainsFunc(hippad.EntryTerms(hippad.Entry{}, of), func(t hippad.Term) bool {
		return t.Field == hippad.FieldPatient && slices.Contains(s.tried, t.Value)
	})
}

// note remembers the patients of an event whom the identifier names.
func (s *subject) note(ev *hippad.Event) {
	look := func(r hippad.Reference) {
		id := r.Identifier
		if id.System == "" {
			id = hippad.ParseIdentifier(id.Value)
		}
		id.System = hippad.OIDSystem(id.System)
		literal, _, _ := strings.Cut(r.Literal, "/_history/")
		if id.System != "" && !strings.Contains(literal, "://") && slices.ContainsFunc(s.tried, func(t string) bool { return sameBut(literal, t) }) {
			s.beside = s.include(s.beside, id.String())
		}
		switch {
		case id.System != "" && slices.Contains(s.tried, id.Value):
			s.named = s.include(s.named, id.String())
		case strings.Contains(literal, "://") && slices.ContainsFunc(s.tried, func(t string) bool { return strings.HasSuffix(literal, "/"+t) }):
			s.named = s.include(s.named, literal)
		}
	}
	for i := range ev.Entities {
		if ev.Entities[i].IsPatient() {
			look(ev.Entities[i].What)
		}
	}
	for i := range ev.Agents {
		if ev.Agents[i].Who.IsPatient() {
			look(ev.Agents[i].Who)
		}
	}
}

// include adds a name to those of several patients, unless it is of one of them.
func (s *subject) include(names []string, name string) []string {
	name = regulation.Shortened(name)
	if slices.Contains(names, name) || slices.ContainsFunc(names, func(x string) bool { return s.linked(x, name) }) {
		return names
	}
	return append(names, name)
}

// several returns the patients whom the identifier names, if they are several.
func (s *subject) several() []string {
	for _, names := range [][]string{s.named, s.beside} {
		if len(names) > 1 {
			return slices.Sorted(slices.Values(names))
		}
	}
	return nil
}

// suspensionsOf returns those of everybody's right and of this patient's. An identifier without its assigner, or a reference without its server, is the same as one with it.
func (d *Disclosures) suspensionsOf(s *subject, all []regulation.Suspension) (out []regulation.Suspension) {
	for _, x := range all {
		mine := len(x.Patients) == 0 || slices.ContainsFunc(x.Patients, func(p string) bool {
			return slices.ContainsFunc(d.tried(p), func(a string) bool {
				return slices.ContainsFunc(s.tried, func(b string) bool { return sameBut(a, b) || sameBut(b, a) })
			})
		})
		if mine {
			out = append(out, x)
		}
	}
	return out
}

// sameBut tells whether long is short, or that with who assigned it before it.
func sameBut(long, short string) bool {
	return long == short || strings.HasSuffix(long, "|"+short) || strings.HasSuffix(long, "/"+short)
}

func (s *subject) linked(a, b string) bool {
	return s.same != nil && slices.ContainsFunc(s.same(term(a)), func(t hippad.Term) bool { return t.Value == b })
}

func (s *subject) answer(a regulation.Accounting, size int64) regulation.Accounting {
	if several := s.several(); several != nil {
		a = regulation.Accounting{Organisation: a.Organisation, Requested: a.Requested, Prepared: a.Prepared, From: a.From, To: a.To, Rows: []regulation.Row{}, Several: several}
	}
	a.Patient, a.Tried, a.Unknown, a.Size = s.asked, s.tried, !s.known, size
	return a
}

// Access answers who touched a patient's data. It needs hippad.ActAnswer.
func (d *Disclosures) Access(ctx context.Context, who hippad.Caller, patient string, from, to regulation.Date, officer bool) (regulation.AccessReport, error) {
	if err := d.permit(ctx, who, "access"); err != nil {
		return regulation.AccessReport{}, err
	}
	if err := checkPatient(patient); err != nil {
		return regulation.AccessReport{}, err
	}
	classifier, rules, _ := d.rules()
	s := d.subject(patient)
	accesses, err := regulation.NewAccesses(classifier, from, to, officer)
	if err != nil {
		return regulation.AccessReport{}, err
	}
	accesses.Withhold(d.suspensionsOf(s, rules.Suspensions), d.today())
	reading, err := d.Repository.Consult(ctx, who, d.Repository.AuditLogUsed("access report patient="+patient, accessCode()))
	if err != nil {
		return regulation.AccessReport{}, err
	}
	for e, err := range reading.Search(ctx, hippad.Query{Terms: [][]hippad.Term{{term(patient)}}, Ascending: true}) {
		if err != nil {
			return regulation.AccessReport{}, fmt.Errorf("search a patient's entries: %w", err)
		}
		ev := d.Repository.Read(e.Report)
		if s.meet(&ev) {
			accesses.Add(e, ev)
		}
	}
	r := accesses.Finish()
	if several := s.several(); several != nil {
		r.Accesses, r.Several = []regulation.Access{}, several
	}
	r.Organisation, r.Patient, r.Tried, r.Unknown, r.Prepared, r.Size = d.Organisation.Name, s.asked, s.tried, !s.known, d.today(), reading.Size()
	return r, nil
}
