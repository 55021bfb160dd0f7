package custody

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

func TestWithout(t *testing.T) {
	someRanges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) hippad.Range {
		return hippad.Range{First: rapid.Int64Range(0, 40).Draw(t, "first"), Count: rapid.IntRange(0, 6).Draw(t, "count")}
	}), 0, 12)
	set := func(ranges []hippad.Range) map[int64]bool {
		out := map[int64]bool{}
		for _, r := range ranges {
			for i := range r.Count {
				out[r.First+int64(i)] = true
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := someRanges.Draw(t, "a"), someRanges.Draw(t, "b")
		got := without(a, b)
		inA, inB, left := set(a), set(b), set(got)
		for i := range int64(50) {
			if left[i] != (inA[i] && !inB[i]) {
				t.Fatalf("%v without %v is %v: wrong at %d", a, b, got, i)
			}
		}
		for i := 1; i < len(got); i++ {
			if got[i].First <= got[i-1].First+int64(got[i-1].Count) {
				t.Fatalf("%v are not in order and apart", got)
			}
		}
	})
}

// A certificate of very many ranges is several entries, and counts only when its last is there; what has none is found.
func TestCertificateOfManyRanges(t *testing.T) {
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), storetest.NewMemory(nil), ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt, Index: repository.Indexer(fhir2, keys.Term, nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	c, err := Open(t.Context(), Config{
		Ledger: l, Now: time.Now, DataKeys: func() []DataKey { return nil }, DestroyKeys: func(context.Context, []uint32) error { return nil },
		Repository: &repository.Repository{Ledger: l, Read: fhir2, Write: fhir.Write, Term: keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	who := func(id string) hippad.Caller {
		return hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: id}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleOfficer}}}
	}
	q, err := c.ask(t.Context(), who("a"), requestRecord{Reason: "x", Purge: &PurgeOrder{}})
	if err != nil {
		t.Fatal(err)
	}
	var ranges []hippad.Range
	for i := range 2*certificateMax + 5 {
		ranges = append(ranges, hippad.Range{First: int64(3 * i), Count: 2})
	}
	cert := Certificate{Request: q.ID, Destroyed: int64(2 * len(ranges))}
	if err := c.certify(t.Context(), q, cert, ranges); err == nil {
		t.Error("there is a certificate of what nobody confirmed")
	}
	q, err = c.Confirm(t.Context(), who("b"), q.ID, nil) // of no keys: its own certificate is of nothing
	if err != nil || len(c.Certificates()) != 1 {
		t.Fatal(err, c.Certificates())
	}
	if size := l.Size(); size != 6 {
		t.Errorf("%d entries", size)
	}
	for r, want := range map[hippad.Range][]hippad.Range{
		{First: 0, Count: 2}:                          nil,
		{First: 0, Count: 3}:                          {{First: 2, Count: 1}},
		{First: 3 * certificateMax, Count: 1}:         nil,
		{First: 3 * int64(len(ranges)), Count: 7}:     {{First: 3 * int64(len(ranges)), Count: 7}},
		{First: 3*int64(len(ranges)) - 3, Count: 2}:   nil,
		{First: 3*int64(len(ranges)) - 4, Count: 100}: {{First: 3*int64(len(ranges)) - 4, Count: 1}, {First: 3*int64(len(ranges)) - 1, Count: 97}},
	} {
		got, err := c.Uncertified(t.Context(), []hippad.Range{r})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v, want %v", r, got, err, want)
		}
	}
}

func fhir2(r hippad.Report) hippad.Event { return fhir.Read(r.Body) }

// Evidence may be collected by many at once, in any order, and believes nobody but the log.
func TestEvidence(t *testing.T) {
	self := hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"}
	entry := func(door hippad.Door, r record) hippad.Entry {
		n, err := repository.Noted(repository.Note{}, self, detailType, r)
		if err != nil {
			t.Fatal(err)
		}
		return hippad.Entry{Door: door, Report: fhir.Write(hippad.Event{Entities: n.Entities})}
	}
	var all []hippad.Entry
	for i := range int64(20) {
		all = append(all, entry(hippad.DoorSelf, record{Confirm: &decision{Request: i, Kind: KindPurge}}))
		all = append(all, entry(hippad.DoorSelf, record{Part: &part{Request: i, Ranges: [][2]int64{{10 * i, 4}, {-5, 1}, {1, -1}, {1 << 62, 1 << 62}}}}))
		if i != 7 {
			all = append(all, entry(hippad.DoorSelf, record{Certificate: &Certificate{Request: i, Ranges: [][2]int64{{10*i + 5, 5}}}}))
		}
	}
	all = append(all, entry(hippad.DoorFHIR, record{Certificate: &Certificate{Request: 7, Ranges: [][2]int64{{0, 1000}}}}),
		entry(hippad.DoorSelf, record{Confirm: &decision{Request: 99, Kind: KindExport}}), hippad.Entry{Door: hippad.DoorSelf, Destroyed: true},
		hippad.Entry{Door: hippad.DoorSelf, Report: hippad.Report{Body: []byte("?")}})
	v := NewEvidence(fhir2)
	var wg sync.WaitGroup
	for part := range slices.Chunk(all, 7) {
		wg.Go(func() {
			for _, e := range slices.Backward(part) {
				v.See(e)
			}
		})
	}
	wg.Wait()
	got := v.Uncertified([]hippad.Range{{First: 0, Count: 200}})
	if len(got) != 20 || got[0] != (hippad.Range{First: 4, Count: 1}) || got[7] != (hippad.Range{First: 70, Count: 10}) && got[7] != (hippad.Range{First: 74, Count: 1}) {
		t.Errorf("%v", got)
	}
	if left := v.Unfinished(); fmt.Sprint(left) != "[7]" {
		t.Errorf("unfinished: %v", left)
	}
}
