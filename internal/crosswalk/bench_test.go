package crosswalk_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"hippad"
	"hippad/internal/crosswalk"
	"hippad/internal/localstore"
	"hippad/internal/repository"
	"hippad/internal/testlog"
)

// onDisk is a world as it really is.
func onDisk(b *testing.B) *world {
	store, err := localstore.Open(b.TempDir(), localstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w := &world{log: testlog.New(b)}
	w.log.Disk = store
	w.open(b)
	b.Cleanup(func() {
		w.log.Close(b)
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return w
}

func pair(i int) []string {
	return []string{fmt.Sprintf("urn:oid:2.16.840.1.113883.19.1|%d", i), fmt.Sprintf("urn:oid:2.16.840.1.113883.19.2|%d", i)}
}

func imported(b *testing.B, w *world, links int) {
	for i := 0; i < links; i += crosswalk.MaxRows {
		var rows [][]string
		for j := range crosswalk.MaxRows {
			rows = append(rows, pair(i+j))
		}
		if _, err := w.Import(b.Context(), olga, rows, "from the EMPI", false); err != nil {
			b.Fatal(err)
		}
	}
}

// oneByOne writes an entry for each link, many at a time, which is what they would come to.
func oneByOne(b *testing.B, w *world, links int) {
	var wg sync.WaitGroup
	const writers = 64
	for k := range writers {
		wg.Go(func() {
			for i := k; i < links; i += writers {
				text, err := json.Marshal(map[string]any{"by": olga.Principal, "reason": "x", "link": [][]string{pair(i)}})
				if err != nil {
					b.Error(err)
					return
				}
				n := repository.SecurityAlert(repository.ObjectSecurityAttributeChanged, "patient identifiers were linked")
				n.Subtypes = append(n.Subtypes, repository.ActivityLink.Code())
				n.Entities = []hippad.Entity{{Details: []hippad.Detail{{Type: "hippad/1 crosswalk", Value: text}}}}
				if err := w.Repository.Note(b.Context(), olga, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What a start costs: 100,000 links in a log, by an import and one by one.
func BenchmarkReplay(b *testing.B) {
	const links = 100_000
	for name, fill := range map[string]func(*testing.B, *world, int){"imported": imported, "one by one": oneByOne} {
		b.Run(name, func(b *testing.B) {
			w := onDisk(b)
			fill(b, w, links)
			b.ReportAllocs()
			for b.Loop() {
				c, err := crosswalk.Open(b.Context(), w.Config)
				if err != nil {
					b.Fatal(err)
				}
				w.Crosswalk = c
			}
			for i := range links {
				if id := pair(i)[0]; len(w.Same(hippad.NewTerm(hippad.FieldPatient, id))) != 1 {
					b.Fatal(id, "is not linked")
				}
			}
			b.ReportMetric(links/(b.Elapsed().Seconds()/float64(b.N)), "links/s")
		})
	}
}

// What one link costs: check, durable entry, effect.
func BenchmarkLink(b *testing.B) {
	w := onDisk(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.link(b, pair(i)...)
	}
}

// An import of 100,000 rows, entries and effect included.
func BenchmarkImport(b *testing.B) {
	for b.Loop() {
		w := onDisk(b)
		imported(b, w, 100_000)
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
