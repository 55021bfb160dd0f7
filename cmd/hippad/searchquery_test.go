package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"hippad"
)

// A propQuery is a question in two ways: as it is asked, and as a condition on the model.
type propQuery struct {
	params      []propParam
	sort        string
	inEveryForm bool // it asks for nothing that depends on the form in which a report came
}

type propParam struct {
	name, value string
	meets       func(fact) bool
	every       bool
}

func (q propQuery) text() string {
	values := url.Values{}
	for _, p := range q.params {
		values.Add(p.name, p.value)
	}
	if q.sort != "" {
		values.Add("_sort", q.sort)
	}
	return values.Encode()
}

// scan goes through the model.
func (q propQuery) scan(facts []fact) (indexes []int64) {
	var found []fact
	for _, f := range facts {
		if !slices.ContainsFunc(q.params, func(p propParam) bool { return !p.meets(f) }) {
			found = append(found, f)
		}
	}
	if strings.HasSuffix(q.sort, "date") {
		slices.SortStableFunc(found, func(a, b fact) int { return a.when().Compare(b.when()) })
	}
	if q.sort == "" || strings.HasPrefix(q.sort, "-") {
		slices.Reverse(found)
	}
	for _, f := range found {
		indexes = append(indexes, f.index)
	}
	return indexes
}

// when is the time by which a fact is found.
func (f fact) when() time.Time {
	if f.recorded.IsZero() {
		return f.received
	}
	return f.recorded
}

func (d dice) query(facts []fact) propQuery {
	q := propQuery{sort: pick(d, "", "", "date", "-date", "_lastUpdated", "-_lastUpdated", "_id", "-_id"), inEveryForm: true,
		params: []propParam{{"_door", "native", func(fact) bool { return true }, true}}} // not what hippad says about the searches
	makers := []func([]fact) propParam{d.token, d.token, d.token, d.pointed, d.pointed, d.text, d.word, d.date, d.own}
	for range 1 + d.IntN(3) {
		p := pick(d, makers...)(facts)
		q.params = append(q.params, p)
		q.inEveryForm = q.inEveryForm && p.every
	}
	return q
}

// anyOf joins alternatives to one value, and their conditions.
func anyOf(d dice, one func() (string, func(fact) bool)) (string, func(fact) bool) {
	var values []string
	var all []func(fact) bool
	for range 1 + d.IntN(3) {
		v, meets := one()
		values, all = append(values, strings.ReplaceAll(v, ",", `\,`)), append(all, meets)
	}
	return strings.Join(values, ","), func(f fact) bool {
		return slices.ContainsFunc(all, func(meets func(fact) bool) bool { return meets(f) })
	}
}

// modified makes a parameter out of a condition, at times the one that there is nothing, or where it may be that it is not met.
func (d dice) modified(name string, every, not bool, present func(fact) bool, one func() (string, func(fact) bool)) propParam {
	switch {
	case d.one(8):
		missing := d.one(2)
		return propParam{name + ":missing", fmt.Sprint(missing), func(f fact) bool { return present(f) != missing }, every}
	case not && d.one(4):
		value, meets := anyOf(d, one)
		return propParam{name + ":not", value, func(f fact) bool { return !meets(f) }, every}
	}
	value, meets := anyOf(d, one)
	return propParam{name, value, meets, every}
}

func typeOf(f fact) []modelCode {
	if f.typ == (modelCode{}) {
		return nil
	}
	return []modelCode{f.typ}
}

func (d dice) token([]fact) propParam {
	codeOf := func(f fact) []modelCode {
		if len(f.subtypes) > 0 {
			return f.subtypes
		}
		return typeOf(f)
	}
	roles := func(f fact) (all []modelCode) {
		for _, a := range f.agents {
			all = append(all, a.roles...)
		}
		return all
	}
	ofEntities := func(get func(entityFact) modelCode) func(fact) []modelCode {
		return func(f fact) (all []modelCode) {
			for _, n := range f.entities {
				if c := get(n); c != (modelCode{}) {
					all = append(all, c)
				}
			}
			return all
		}
	}
	role := func(code string) modelCode { return modelCode{hippad.SystemObjectRole, code} }
	kind := func(code string) modelCode { return modelCode{hippad.SystemEntityType, code} }
	p := pick(d, []struct {
		name  string
		every bool
		of    func(fact) []modelCode
		from  []modelCode
	}{
		{"type", true, typeOf, propTypes}, {"category", true, typeOf, propTypes},
		{"subtype", true, func(f fact) []modelCode { return f.subtypes }, propSubtypes}, {"code", true, codeOf, slices.Concat(propSubtypes, propTypes)},
		{"agent-role", true, roles, propRoles}, {"purpose", true, func(f fact) []modelCode { return f.purposes }, propPurposes},
		{"entity-role", true, ofEntities(func(n entityFact) modelCode { return n.role }), []modelCode{role("1"), role("3"), role("24")}},
		{"entity-type", true, ofEntities(func(n entityFact) modelCode { return n.typ }), []modelCode{kind("1"), kind("2")}},
	}...)
	return d.modified(p.name, p.every, true, func(f fact) bool { return len(p.of(f)) > 0 }, func() (string, func(fact) bool) {
		c := pick(d, append(p.from, modelCode{"http://vendor.test/x", "none"})...)
		asked := d.system(c)
		has := func(meets func(modelCode) bool) func(fact) bool {
			return func(f fact) bool { return slices.ContainsFunc(p.of(f), meets) }
		}
		switch d.IntN(4) {
		case 0:
			return "|" + c.code, has(func(x modelCode) bool { return x == modelCode{"", c.code} })
		case 1:
			if c.system != "" {
				return asked + "|", has(func(x modelCode) bool { return x.system == c.system })
			}
		case 2:
			return asked + "|" + c.code, has(func(x modelCode) bool { return x == c })
		}
		return c.code, has(func(x modelCode) bool { return x.code == c.code })
	})
}

// tail returns the type and the id of a literal reference.
func (r modelRef) tail() (resource, id string) {
	rest, _, _ := strings.Cut(r.literal, "/_history/")
	segments := strings.Split(rest, "/")
	if len(segments) < 2 {
		return "", ""
	}
	return segments[len(segments)-2], segments[len(segments)-1]
}

func (f fact) patients() (all []modelRef) {
	for _, n := range f.entities {
		if resource, _ := n.what.tail(); resource == "Patient" || n.role.code == "1" {
			all = append(all, n.what)
		}
	}
	for _, a := range f.agents {
		if resource, _ := a.who.tail(); resource == "Patient" {
			all = append(all, a.who)
		}
	}
	return all
}

func (f fact) agentRefs() (all []modelRef) {
	for _, a := range f.agents {
		all = append(all, a.who, modelRef{value: a.altID}, modelRef{value: a.name})
	}
	return all
}

func (f fact) entityRefs() (all []modelRef) {
	for _, n := range f.entities {
		all = append(all, n.what)
	}
	return all
}

// pointed asks for what a reference points at.
func (d dice) pointed([]fact) propParam {
	p := pick(d, []struct {
		name  string
		of    func(fact) []modelRef
		kinds []string
		ids   []string
	}{
		{"patient", fact.patients, []string{"Patient"}, propIDs}, {"patient", fact.patients, []string{"Patient"}, propIDs},
		{"agent", fact.agentRefs, []string{"Practitioner", "Device", "Patient"}, append(slices.Concat(propIDs, propNamesOf), "alt-1", "Alt 2")},
		{"entity", fact.entityRefs, []string{"Patient", "Binary"}, propIDs},
		{"source", func(f fact) []modelRef { return []modelRef{f.source} }, []string{"Device"}, []string{"pacs", "ehr"}},
		{"based-on", func(f fact) []modelRef { return f.basedOn }, []string{"ServiceRequest"}, propIDs},
		{"encounter", func(f fact) []modelRef { return []modelRef{f.encounter} }, []string{"Encounter"}, propIDs},
	}...)
	same := func(a, b string) bool { return a == b && a != "" }
	folded := func(s string) string { return s }
	if p.name == "agent" {
		same = func(a, b string) bool { return strings.EqualFold(a, b) && a != "" }
		folded = pick(d, strings.ToUpper, strings.ToLower, folded)
	}
	name := p.name + pick(d, "", "", ":identifier")
	if slices.Contains([]string{"patient", "agent", "entity", "source"}, p.name) && d.one(4) {
		name = p.name + ".identifier"
	}
	kind := pick(d, p.kinds...)
	typed := name == p.name && d.one(5)
	if typed {
		name += ":" + kind
		p.ids = propIDs
	}
	has := func(meets func(modelRef) bool) func(fact) bool {
		return func(f fact) bool { return slices.ContainsFunc(p.of(f), meets) }
	}
	one := func() (string, func(fact) bool) {
		id, system := pick(d, p.ids...), pick(d, append(propSystems[1:], "urn:oid:1.2.9")...)
		withKind := has(func(r modelRef) bool {
			resource, tail := r.tail()
			return same(resource, kind) && same(tail, id)
		})
		if typed {
			return pick(d, "", kind+"/") + folded(id), withKind
		}
		oid, isOID := strings.CutPrefix(system, "urn:oid:")
		identified := has(func(r modelRef) bool { return same(r.system, system) && same(r.value, id) })
		switch d.IntN(7) {
		case 0:
			return system + "|" + folded(id), identified
		case 1:
			if isOID {
				return pick(d, folded(id)+"^^^&"+oid+"&ISO", folded(id)+"^^^&amp;"+oid+"&amp;ISO^PI", oid+"|"+folded(id)), identified
			}
		case 2:
			if p.name != "agent" {
				return kind + "/" + id, withKind
			}
		case 3:
			literal := pick(d, "https://ehr.test/fhir/", "https://other.test/") + kind + "/" + id + pick(d, "", "/_history/2")
			return literal, has(func(r modelRef) bool {
				current, _, _ := strings.Cut(r.literal, "/_history/") // a version of it is it
				return same(r.literal, literal) || same(current, literal)
			})
		}
		return pick(d, "", "", "|") + folded(id), has(func(r modelRef) bool {
			_, tail := r.tail()
			return same(r.value, id) || same(tail, id)
		})
	}
	return d.asNamed(name, p.name, one, func(f fact) bool {
		return slices.ContainsFunc(p.of(f), func(r modelRef) bool { return r != modelRef{} && (r.value != "" || r.literal != "") })
	})
}

// asNamed is modified for a name that may have a modifier already.
func (d dice) asNamed(name, bare string, one func() (string, func(fact) bool), present func(fact) bool) propParam {
	p := d.modified(bare, true, false, present, one)
	if p.name == bare {
		p.name = name
	}
	return p
}

// plainText folds the letters of the vocabulary, in a way of its own.
func plainText(s string) string {
	return strings.NewReplacer("é", "e", "ü", "u", "ö", "o", "ß", "ss").Replace(strings.ToLower(strings.TrimSpace(s)))
}

// text asks for names and addresses by their beginnings.
func (d dice) text([]fact) propParam {
	agents := func(get func(agentFact) string) func(fact) []string {
		return func(f fact) (all []string) {
			for _, a := range f.agents {
				all = append(all, get(a))
			}
			return all
		}
	}
	p := pick(d, []struct {
		name  string
		of    func(fact) []string
		from  []string
		words bool
	}{
		{"address", agents(func(a agentFact) string { return a.address }), propAddress, false},
		{"agent-name", agents(func(a agentFact) string { return a.name }), propNamesOf, true},
		{"entity-name", func(f fact) (all []string) {
			for _, n := range f.entities {
				all = append(all, n.name)
			}
			return all
		}, propNamesOf, true},
	}...)
	present := func(f fact) bool { return slices.ContainsFunc(p.of(f), func(s string) bool { return s != "" }) }
	if d.one(4) {
		value, meets := anyOf(d, func() (string, func(fact) bool) {
			asked := pick(d, append(p.from, "anna meyer")...)
			return asked, func(f fact) bool { return slices.Contains(p.of(f), asked) }
		})
		return propParam{p.name + ":exact", value, meets, true}
	}
	return d.modified(p.name, true, false, present, func() (string, func(fact) bool) {
		letters := []rune(pick(d, p.from...))
		from := 0
		if d.one(2) { // some word of it, or its middle, which is the beginning of nothing
			from = d.IntN(len(letters))
		}
		asked := string(letters[from:min(len(letters), from+1+d.IntN(9))])
		if plainText(asked) == "" {
			asked = string(letters)
		}
		asked = pick(d, strings.ToUpper, strings.ToLower, func(s string) string { return s })(asked)
		return asked, func(f fact) bool {
			for _, text := range p.of(f) {
				text = plainText(text)
				for i := range text {
					if (i == 0 || p.words && strings.ContainsRune(" ,;^<", rune(text[i-1]))) && strings.HasPrefix(text[i:], plainText(asked)) {
						return true
					}
				}
			}
			return false
		}
	})
}

// word asks for what is looked for as it stands.
func (d dice) word([]fact) propParam {
	p := pick(d, []struct {
		name  string
		of    func(fact) []string
		from  []string
		not   bool
		every bool
	}{
		{"action", func(f fact) []string { return []string{f.action} }, []string{"C", "R", "E", "U"}, true, true},
		{"outcome", func(f fact) []string { return []string{f.outcome} }, []string{"0", "4", "8", "12"}, true, true},
		{"site", func(f fact) []string { return []string{f.site} }, []string{"ward 1", "ward 2", "ward"}, true, true},
		{"altid", func(f fact) (all []string) {
			for _, a := range f.agents {
				all = append(all, a.altID)
			}
			return all
		}, []string{"alt-1", "Alt 2", "alt 2"}, true, true},
		{"policy", func(f fact) (all []string) {
			for _, a := range f.agents {
				all = append(all, a.policies...)
			}
			return all
		}, append(propPolicies, "http://policy.test/"), false, true},
		{"_reporter", func(f fact) []string { return []string{"certificate:" + f.reporter} }, []string{"certificate:sha256:01", "certificate:sha256:02", "address:::1"}, true, true},
		{"_organisation", func(f fact) []string { return []string{f.member} }, []string{"St Mary", "Elsewhere"}, true, true},
		{"_media", func(f fact) []string {
			return []string{map[bool]string{true: hippad.MediaXML, false: hippad.MediaFHIRJSON}[f.form == dicom]}
		}, []string{hippad.MediaXML, hippad.MediaFHIRJSON}, true, false},
		{"_mark", func(f fact) []string {
			switch {
			case f.unreadable:
				return []string{hippad.MarkUnreadable}
			case f.typ == (modelCode{}), f.recorded.IsZero(), len(f.agents) == 0, f.source == (modelRef{}):
				return []string{hippad.MarkIncomplete}
			}
			return nil
		}, []string{hippad.MarkIncomplete, hippad.MarkUnreadable, "framing"}, true, true},
	}...)
	present := func(f fact) bool { return slices.ContainsFunc(p.of(f), func(s string) bool { return s != "" }) }
	return d.modified(p.name, p.every, p.not, present, func() (string, func(fact) bool) {
		v := pick(d, p.from...)
		asked := v
		switch p.name {
		case "outcome":
			asked = pick(d, v, "http://hl7.org/fhir/issue-severity|"+map[string]string{"0": "success", "4": "warning", "8": "error", "12": "fatal"}[v])
		case "action", "altid", "site":
			asked = pick(d, v, "|"+v)
		}
		return asked, func(f fact) bool { return slices.Contains(p.of(f), v) }
	})
}

// date asks for a span of time, of any precision.
func (d dice) date(facts []fact) propParam {
	name, when, at := "date", fact.when, d.moment()
	if d.one(4) {
		name, when = "_lastUpdated", func(f fact) time.Time { return f.received }
	}
	if d.one(4) {
		at = pick(d, facts...).received
	}
	at = at.UTC()
	value, meets := anyOf(d, func() (string, func(fact) bool) {
		p := pick(d, []struct {
			layout string
			from   time.Time
			to     func(time.Time) time.Time
		}{
			{"2006", time.Date(at.Year(), 1, 1, 0, 0, 0, 0, time.UTC), func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
			{"2006-01", time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC), func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
			{"2006-01-02", at.Truncate(24 * time.Hour), func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
			{"2006-01-02T15:04Z07:00", at.Truncate(time.Minute), func(t time.Time) time.Time { return t.Add(time.Minute) }},
			{"2006-01-02T15:04:05Z07:00", at.Truncate(time.Second), func(t time.Time) time.Time { return t.Add(time.Second) }},
			{"2006-01-02T15:04:05.000Z07:00", at.Truncate(time.Millisecond), func(t time.Time) time.Time { return t.Add(time.Millisecond) }},
			{"2006-01-02T15:04:05.000000Z07:00", at.Truncate(time.Microsecond), func(t time.Time) time.Time { return t.Add(time.Microsecond) }},
		}...)
		to := p.to(p.from)
		written := p.from
		if strings.Contains(p.layout, "Z") {
			written = p.from.In(pick(d, time.UTC, time.FixedZone("", -5*3600)))
		}
		prefix := pick(d, "", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
		return prefix + written.Format(p.layout), func(f fact) bool {
			t := when(f)
			switch prefix {
			case "", "eq":
				return !t.Before(p.from) && t.Before(to)
			case "ne":
				return t.Before(p.from) || !t.Before(to)
			case "gt", "sa":
				return !t.Before(to)
			case "ge":
				return !t.Before(p.from)
			case "lt", "eb":
				return t.Before(p.from)
			case "le":
				return t.Before(to)
			}
			near := time.Since(p.from).Abs() / 10
			return !t.Before(p.from.Add(-near)) && t.Before(to.Add(near))
		}
	})
	return propParam{name, value, meets, name == "date"}
}

// own asks for places in the log.
func (d dice) own(facts []fact) propParam {
	value, meets := anyOf(d, func() (string, func(fact) bool) {
		index := pick(d, facts...).index
		return fmt.Sprint(index), func(f fact) bool { return f.index == index }
	})
	return propParam{"_id", value, meets, false}
}
