package fhir

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// A search is what the parameters of one ask for.
type search struct {
	query    hippad.Query
	unknown  []string // names that are not known, sorted; they have no effect
	notes    []string // what else the answer has to say about the parameters
	shaping  []string // names that shape the answer, and about which a Query says nothing
	dated    bool     // there is a date
	count    int      // entries of a page; 0: as many as usual
	counting bool     // how many there are is all that is asked for
	total    string   // _total
}

// maxValues bounds what one search may ask for, maxQuery the bytes of its parameters.
const (
	maxValues = 1000
	maxQuery  = 256 << 10
)

// ParseQuery makes a query of FHIR search parameters: those of "patient=a,b&type=c" by AND, the values between commas by OR,
// with "\," for a comma inside a value. It knows the parameters of R4 and of R5, the modifiers that go with them, _sort, and
// _count, which is Limit (0 when absent). The names of parameters that it does not know, or that a Query has no place for, are
// returned, sorted, and have no effect; _format and _pretty are known and have none either. Errors are of kind Invalid and name
// the parameter, never its value.
func ParseQuery(values url.Values) (hippad.Query, []string, error) {
	s, err := parseSearch(values, every, time.Now())
	if err != nil {
		return hippad.Query{}, nil, err
	}
	if s.counting && values.Has("_count") {
		return hippad.Query{}, nil, hippad.Errorf(hippad.Invalid, "parameter _count: want 1 or more")
	}
	s.query.Limit = s.count
	unknown := append(s.unknown, s.shaping...)
	slices.Sort(unknown)
	return s.query, unknown, nil
}

// parseSearch reads the parameters of a base. What is meant by ap depends on now.
func parseSearch(values url.Values, in releases, now time.Time) (search, error) {
	var s search
	names := make([]string, 0, len(values))
	total, size := 0, 0
	for name, list := range values {
		names = append(names, name)
		total += len(list)
		for _, v := range list {
			total += strings.Count(v, ",")
			size += len(name) + len(v)
		}
	}
	if total > maxValues || size > maxQuery {
		return search{}, hippad.Errorf(hippad.Invalid, "more than %d search values, or %d bytes of them", maxValues, maxQuery)
	}
	slices.Sort(names)
	for _, name := range names {
		base, modifier, modified := strings.Cut(name, ":")
		p, known := findParameter(base, in)
		if !known {
			var err error
			if known, err = s.control(name, base, values[name], in); err != nil {
				return search{}, err
			}
			if !known {
				s.unknown = append(s.unknown, name)
			}
			continue
		}
		for _, value := range values[name] {
			if err := s.add(p, modifier, modified, value, in, now); err != nil {
				return search{}, err
			}
		}
	}
	return s, nil
}

// add narrows the search by one value of a parameter. A modifier that is not known must not be passed over (FHIR R4 search,
// Modifiers): the answer would be wider than what was asked for.
func (s *search) add(p parameter, modifier string, modified bool, value string, in releases, now time.Time) error {
	refuse := func() error {
		return hippad.Errorf(hippad.Invalid, "parameter %s: this modifier is not offered", p.name)
	}
	if p.field == "" {
		if modified {
			return refuse()
		}
		return s.addPlace(p, value, now)
	}
	op := hippad.Op(0)
	resource := ""
	switch {
	case !modified:
	case modifier == "missing":
		return s.addMissing(p, value)
	case p.kind == "token" && modifier == "not" && !strings.Contains(p.name, "."):
		op = hippad.OpNone
	case p.kind == "string" && modifier == "exact":
		op = hippad.OpExact
	case p.kind == "reference" && modifier == "identifier":
	case p.kind == "reference" && p.mayBe(modifier) && !strings.Contains(p.name, "."):
		resource = modifier
	default:
		return refuse()
	}
	var looked []string
	for _, v := range splitValues(value) {
		if op != hippad.OpExact {
			v = strings.TrimSpace(v)
		}
		v, reason := p.value(v, resource, in)
		if reason != "" {
			err := hippad.Errorf(hippad.Invalid, "parameter %s: %s", p.name, reason)
			if p.check != nil {
				err = err.WithHint("%s", p.about)
			}
			return err
		}
		if !slices.Contains(looked, v) {
			looked = append(looked, v)
		}
	}
	if p.kind == "string" && op == 0 {
		op = hippad.OpStarts
	}
	if op != 0 {
		s.query.Filters = append(s.query.Filters, hippad.NewFilter(op, p.field, looked...))
		return nil
	}
	var any []hippad.Term
	for _, v := range looked {
		if t := hippad.NewTerm(p.field, v); !slices.Contains(any, t) {
			any = append(any, t)
		}
	}
	s.query.Terms = append(s.query.Terms, any)
	return nil
}

// addPlace handles what a Query has fields of its own for.
func (s *search) addPlace(p parameter, value string, now time.Time) error {
	if p.name == "_id" {
		return addIndexes(&s.query, value)
	}
	any, err := dates(p.name, value, now)
	if err != nil {
		return err
	}
	if p.name == "date" {
		s.dated = true
		s.query.Times = append(s.query.Times, any)
	} else {
		s.query.Received = append(s.query.Received, any)
	}
	return nil
}

func (s *search) addMissing(p parameter, value string) error {
	switch value {
	case "true":
		s.query.Filters = append(s.query.Filters, hippad.NewFilter(hippad.OpMissing, p.field))
	case "false":
		s.query.Filters = append(s.query.Filters, hippad.NewFilter(hippad.OpPresent, p.field))
	default:
		return hippad.Errorf(hippad.Invalid, "parameter %s: want true or false for the modifier missing", p.name)
	}
	return nil
}

var resourceName = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

// mayBe tells whether the reference may point at this type of resource.
func (p parameter) mayBe(resource string) bool {
	return resourceName.MatchString(resource) && (p.points == nil || slices.Contains(p.points, resource))
}

// value returns one value as the log has it, or what is wrong with it.
func (p parameter) value(v, resource string, in releases) (_, reason string) {
	if v == "" {
		return "", "a value is empty"
	}
	switch {
	case p.kind == "token": // a system as we show it is found as it was sent
		if system, code, ok := strings.Cut(v, "|"); ok {
			v = systemName(system) + "|" + code
		}
	case p.kind == "string" && hippad.Fold(v) == "":
		return "", "a value is empty"
	case p.kind == "reference":
		v, reason = referenceValue(v, resource)
		if reason != "" {
			return "", reason
		}
	}
	if p.check != nil {
		var ok bool
		if v, ok = p.check(v, in); !ok {
			return "", "a value is none of its codes"
		}
	}
	if t := hippad.NewTerm(p.field, v); t.Value == "" || t.Value == "|" {
		return "", "a value is empty"
	}
	return v, ""
}

// referenceValue returns the reference or identifier that is looked for. An identifier without an assigner ("|7") is looked for
// by its value: who sent it may not have said who assigned it.
func referenceValue(v, resource string) (_, reason string) {
	if v = strings.TrimPrefix(v, "|"); v == "" {
		return "", "a value is empty"
	}
	if strings.HasSuffix(v, "|") {
		return "", "a value has an assigner and no identifier"
	}
	if resource == "" {
		return v, ""
	}
	if strings.ContainsAny(v, "|^") {
		return "", "a type goes with an id or a reference, not with an identifier"
	}
	if !strings.Contains(v, "/") {
		return resource + "/" + v, ""
	}
	rest, _, _ := strings.Cut(v, "/_history/")
	segments := strings.Split(rest, "/")
	if segments[len(segments)-2] != resource {
		return "", "a value is a reference to another type than the modifier has"
	}
	return v, ""
}

// splitValues splits at commas and takes away the escapes of FHIR R4 search (Escaping Search Parameters): \, \| \$ \\.
func splitValues(s string) []string {
	if !strings.ContainsAny(s, `\,`) {
		return []string{s}
	}
	var values []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`,|$\`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case s[i] == ',':
			values = append(values, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(values, b.String())
}

func addIndexes(q *hippad.Query, value string) error {
	var indexes []int64
	for _, v := range splitValues(value) {
		n, ok := parseIndex(v)
		if !ok {
			return hippad.Errorf(hippad.Invalid, "parameter _id: want an index of the log")
		}
		if !slices.Contains(indexes, n) {
			indexes = append(indexes, n)
		}
	}
	if len(q.Indexes) > 0 {
		indexes = slices.DeleteFunc(indexes, func(n int64) bool { return !slices.Contains(q.Indexes, n) })
		if len(indexes) == 0 {
			indexes = []int64{-1} // no entry: the empty list would mean every one
		}
	}
	q.Indexes = indexes
	return nil
}

// parseIndex reads an index as it is written in an id: decimal, no sign, no leading zero.
func parseIndex(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, false
	}
	return int64(n), true
}
