package repository

import (
	"encoding/binary"
	"testing"
)

// However many reporters there are, there is a bounded number of buckets, and the one that is used stays.
func TestGatesAreBounded(t *testing.T) {
	var g gate
	l := Limits{ReporterReports: 1}
	first, _ := g.of(l, [8]byte{255})
	for i := range 3 * maxGates {
		var key [8]byte
		binary.BigEndian.PutUint64(key[:], uint64(i))
		g.of(l, key)
		if again, _ := g.of(l, [8]byte{255}); again != first {
			t.Fatalf("after %d others the bucket is another", i)
		}
	}
	if len(g.reporters) != maxGates || g.used.Len() != maxGates {
		t.Errorf("%d and %d buckets", len(g.reporters), g.used.Len())
	}
	if again, _ := g.of(l, [8]byte{}); again == nil || g.used.Len() != maxGates {
		t.Error("who gave way cannot come back")
	}
}

func BenchmarkGate(b *testing.B) {
	var g gate
	l := Limits{ReporterReports: 1e12, Reports: 1e12}
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := g.enter(b.Context(), l, [8]byte{1}, 1, 2000); err != nil {
				b.Fatal(err)
			}
		}
	})
}
