package main

import (
	"errors"
	"slices"
	"testing"

	"hippad"
)

func TestParseQuery(t *testing.T) {
	patient := hippad.NewTerm(hippad.FieldPatient, "urn:oid:1.2.3|12345")
	for _, args := range [][]string{
		{"patient=12345^^^&1.2.3&ISO"},
		{"patient=12345^^^&1.2.3&ISO&date=ge2026"},
		{"date=ge2026", "patient=urn:oid:1.2.3|12345"},
		{"patient=12345%5E%5E%5E%261.2.3%26ISO"},
	} {
		q, err := parseQuery(args)
		if err != nil || len(q.Terms) != 1 || !slices.Contains(q.Terms[0], patient) {
			t.Errorf("%q: %v, %v", args, q.Terms, err)
		}
	}
	if q, err := parseQuery([]string{"agent=a+b"}); err != nil || q.Terms[0][0].Value != "a+b" {
		t.Errorf("a plus is not kept: %v, %v", q.Terms, err)
	}
	if q, err := parseQuery(nil); err != nil || len(q.Terms) != 0 {
		t.Errorf("nothing asked: %v, %v", q.Terms, err)
	}
	for _, args := range [][]string{{"12345"}, {"patient"}, {"patient=%zz"}, {"patent=1"}, {"date=soon"}} {
		var usage usageError
		if _, err := parseQuery(args); !errors.As(err, &usage) {
			t.Errorf("%q: %v, want a wrong call", args, err)
		}
	}
}
