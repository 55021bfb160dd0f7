package custody

import (
	"context"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

// The rules hold for what is replayed as well, whoever wrote it: what is against them has no effect.
func TestFold(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ann, bob := hippad.Principal{Kind: hippad.KindPerson, ID: "ann"}, hippad.Principal{Kind: hippad.KindPerson, ID: "bob"}
	purge := record{By: ann, Request: &requestRecord{Purge: &PurgeOrder{}}}
	export := record{By: ann, Request: &requestRecord{Export: &hippad.Query{}}}
	confirm, refuse := &decision{Request: 0}, &decision{Request: 0}
	type at struct {
		after time.Duration
		r     record
	}
	for name, c := range map[string]struct {
		log  []at
		want State
	}{
		"asked":                      {[]at{{0, purge}}, StateWaiting},
		"confirmed by oneself":       {[]at{{0, purge}, {1, record{By: ann, Confirm: confirm}}}, StateWaiting},
		"confirmed":                  {[]at{{0, purge}, {1, record{By: bob, Confirm: confirm}}}, StateConfirmed},
		"confirmed too late":         {[]at{{0, purge}, {requestTime, record{By: bob, Confirm: confirm}}}, StateExpired},
		"refused, then confirmed":    {[]at{{0, purge}, {1, record{By: bob, Refuse: refuse}}, {2, record{By: bob, Confirm: confirm}}}, StateRefused},
		"confirmed, then refused":    {[]at{{0, purge}, {1, record{By: bob, Confirm: confirm}}, {2, record{By: bob, Refuse: refuse}}}, StateConfirmed},
		"certificate":                {[]at{{0, purge}, {1, record{By: bob, Confirm: confirm}}, {2, record{Certificate: &Certificate{}}}, {3, record{Certificate: &Certificate{}}}}, StateDone},
		"certificate of the wind":    {[]at{{0, purge}, {2, record{Certificate: &Certificate{}}}}, StateWaiting},
		"certificate of an export":   {[]at{{0, export}, {1, record{By: bob, Confirm: confirm}}, {2, record{Certificate: &Certificate{}}}}, StateConfirmed},
		"export begun":               {[]at{{0, export}, {1, record{By: bob, Confirm: confirm}}, {2, record{By: ann, Export: confirm}}, {3 * beginTime, record{}}}, StateConfirmed},
		"export begun too late":      {[]at{{0, export}, {1, record{By: bob, Confirm: confirm}}, {1 + beginTime, record{By: ann, Export: confirm}}, {3 * beginTime, record{}}}, StateExpired},
		"export that is over":        {[]at{{0, export}, {1, record{By: bob, Confirm: confirm}}, {2, record{By: ann, Export: confirm}}, {requestTime, record{}}}, StateDone},
		"a purge is begun by no one": {[]at{{0, purge}, {1, record{By: bob, Confirm: confirm}}, {2, record{By: ann, Export: confirm}}}, StateConfirmed},
		"of what is not there":       {[]at{{0, purge}, {1, record{By: bob, Confirm: &decision{Request: 77}}}, {1, record{Release: &releaseRecord{Hold: 3}}}}, StateWaiting},
	} {
		s := newState()
		now := begin
		for i, x := range c.log {
			now = begin.Add(x.after)
			s.fold(int64(i), now, x.r)
		}
		q := s.requests[0]
		if got := q.stateAt(now.Add(1)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		certified := 0
		if c.want == StateDone && q.Kind == KindPurge {
			certified = 1
		}
		if len(s.certificates) != certified || len(s.requests) != 1 {
			t.Errorf("%s: %d certificates, %d requests", name, len(s.certificates), len(s.requests))
		}
		if q.Kind == KindPurge && !q.Begun.IsZero() {
			t.Errorf("%s: a purge is begun", name)
		}
	}
}

// What the log says about itself stays, even if an old program has sealed it with the others and somebody overrides the time.
func TestOwnEntriesStay(t *testing.T) {
	read := func(hippad.Report) hippad.Event { return hippad.Event{} }
	now := time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, override := range []bool{true, false} {
		k := &keeper{read: read, now: now, override: override, byHold: map[int64]int64{}}
		if k.keeps(hippad.Entry{Door: hippad.DoorFHIR, Received: now.AddDate(-20, 0, 0)}) {
			t.Error("what is over stays")
		}
		if !k.keeps(hippad.Entry{Door: hippad.DoorSelf, Received: now.AddDate(-20, 0, 0)}) || k.kept != 1 {
			t.Error("the log's own goes")
		}
		if k.keeps(hippad.Entry{Door: hippad.DoorFHIR, Received: now.AddDate(-1, 0, 0)}) == override {
			t.Error("what is not over")
		}
	}
}

// The index finds by keyed hashes, which may collide: what it offers is looked at.
func TestCollidingTerms(t *testing.T) {
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	same := func(hippad.Term) uint64 { return 1 }
	l, err := ledger.Open(t.Context(), storetest.NewMemory(nil), ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt, Index: repository.Indexer(fhir2, same, nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	config := Config{
		Ledger: l, Now: time.Now, DataKeys: func() []DataKey { return nil }, DestroyKeys: func(context.Context, []uint32) error { return nil },
		Repository: &repository.Repository{Ledger: l, Read: fhir2, Write: fhir.Write, Term: same, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"}},
	}
	who := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: "a"}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleOfficer, hippad.RoleReporter}}}
	c, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Hold(t.Context(), who, Hold{Reason: "x", Patient: "1"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := repository.Noted(repository.Note{}, who.Principal, detailType, record{By: who.Principal, Release: &releaseRecord{Hold: h.ID, Reason: "forged"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []hippad.Report{fhir.Write(hippad.Event{Entities: n.Entities}), {Media: "x/y", Body: []byte(strings.Repeat("{", 1000))}} {
		wait, err := config.Repository.As(who, hippad.DoorFHIR).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{r}})
		if err == nil {
			_, err = wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := c.Requests(t.Context(), who); err != nil {
			t.Fatal(err)
		}
		if c, err = Open(t.Context(), config); err != nil || len(c.Holds()) != 1 {
			t.Fatal(err, c.Holds())
		}
	}
}
