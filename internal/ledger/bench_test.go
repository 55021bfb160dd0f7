package ledger_test

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
)

// report is a DICOM audit message of about 2 KB, as a PACS sends it: what repeats, repeats, and the rest is random.
func report(r *rand.Rand) string {
	var b strings.Builder
	uid := func() string {
		return fmt.Sprintf("1.2.840.113619.2.%d.%d.%d.%d", r.IntN(400), r.IntN(1e6), r.IntN(1e9), r.IntN(1e9))
	}
	patient, user, node := r.IntN(10000), r.IntN(2000), r.IntN(50)
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<AuditMessage xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <EventIdentification EventActionCode="%c" EventDateTime="2026-11-%02dT%02d:%02d:%02d.%03d+01:00" EventOutcomeIndicator="0">
    <EventID csd-code="110103" codeSystemName="DCM" originalText="DICOM Instances Accessed" />
    <EventTypeCode csd-code="ITI-43" codeSystemName="IHE Transactions" originalText="Retrieve Document Set" />
  </EventIdentification>
`, "CRUDE"[r.IntN(5)], 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
	for i, role := range []string{"110153", "110152"} {
		fmt.Fprintf(&b, `  <ActiveParticipant UserID="user%04d@node%02d.hospital.example" AlternativeUserID="%d" UserName="Person %04d" UserIsRequestor="%t" NetworkAccessPointID="10.%d.%d.%d" NetworkAccessPointTypeCode="2">
    <RoleIDCode csd-code="%s" codeSystemName="DCM" originalText="Role ID" />
  </ActiveParticipant>
`, user, node, r.IntN(32768), user, i == 0, node, r.IntN(256), r.IntN(256), role)
	}
	fmt.Fprintf(&b, `  <AuditSourceIdentification AuditEnterpriseSiteID="site-%d" AuditSourceID="pacs-%02d">
    <AuditSourceTypeCode csd-code="4" codeSystemName="DCM" originalText="Application Server Process" />
  </AuditSourceIdentification>
  <ParticipantObjectIdentification ParticipantObjectID="%06d^^^&amp;1.3.6.1.4.1.21367.13.20.1000&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
    <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number" />
    <ParticipantObjectName>NAME^%d</ParticipantObjectName>
  </ParticipantObjectIdentification>
  <ParticipantObjectIdentification ParticipantObjectID="%s" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">
    <ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID" />
    <ParticipantObjectDetail type="StudyDate" value="MjAyNi0xMS0yMg==" />
    <ParticipantObjectDescription>
      <Accession Number="A%d" /><SOPClass UID="1.2.840.10008.5.1.4.1.1.2" NumberOfInstances="%d" />
    </ParticipantObjectDescription>
  </ParticipantObjectIdentification>
</AuditMessage>
`, node%4, node, patient, patient, uid(), r.IntN(1e8), r.IntN(900))
	return b.String()
}

// benchIndex gives 12 terms: one unique, the others from sets of the sizes that real fields have. It costs next to nothing:
// reading the report is the business of a door.
func benchIndex(e hippad.Entry) ledger.Indexed {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(e.Body))
	for tail := e.Body[len(e.Body)-480:]; len(tail) >= 8; tail = tail[8:] {
		h = (h ^ binary.LittleEndian.Uint64(tail)) * odd
		h ^= h >> 29
	}
	x := ledger.Indexed{Terms: make([]uint64, 0, 12)}
	for i, size := range [...]uint64{1 << 62, 10000, 10000, 2000, 2000, 50, 50, 5, 5, 3, 2, 1} {
		h = h*odd + 1
		x.Terms = append(x.Terms, ((h>>20)%size+uint64(i+1)<<50)*odd)
	}
	return x
}

func benchWorld(b *testing.B) (*localstore.Store, *ledger.Ledger, [][]hippad.Entry) {
	return benchWorldWith(b, nil)
}

// benchWorldWith is a log whose content is sealed, if there is a vault.
func benchWorldWith(b *testing.B, v *vault) (*localstore.Store, *ledger.Ledger, [][]hippad.Entry) {
	store, err := localstore.Open(b.TempDir(), localstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	o := options()
	if v != nil {
		o = v.options()
		o.RunLength = 0
		key, _, err := v.seal(time.Time{}, ledger.DefaultClass)
		if err != nil {
			b.Fatal(err)
		}
		ready := aead(key) // made once, as a key ring does
		o.SealKey = func(time.Time, string) (uint32, cipher.AEAD, error) { return key, ready, nil }
		o.OpenKey = func(uint32) (cipher.AEAD, error) { return ready, nil }
	}
	o.Index = benchIndex
	l := open(b, store, o)
	r := rand.New(rand.NewPCG(1, 2))
	reports := make([][]hippad.Entry, 20000)
	for i := range reports {
		reports[i] = entries(report(r))
	}
	return store, l, reports
}

// processorTime is what the process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		size  int
		vault *vault
	}{{1, nil}, {1, newVault()}, {64, nil}, {64, newVault()}} {
		size := c.size
		b.Run(fmt.Sprintf("frame=%d/sealed=%t", size, c.vault != nil), func(b *testing.B) {
			store, l, reports := benchWorldWith(b, c.vault)
			frames := make([][]hippad.Entry, len(reports)/size)
			for i := range frames {
				for j := range size {
					frames[i] = append(frames[i], reports[i*size+j]...)
				}
			}
			b.SetBytes(int64(len(reports[0][0].Body)))
			b.ResetTimer()
			cpu := processorTime(b)
			// Eight connections, each with 32 frames under way: what the native protocol's window allows.
			var wg sync.WaitGroup
			const connections = 8
			for c := range connections {
				wg.Go(func() {
					var window []hippad.Wait
					wait := func() {
						if _, err := window[0](context.Background()); err != nil {
							b.Error(err)
						}
						window = window[1:]
					}
					for i := c; i*size < b.N; i += connections {
						w, err := l.Append(context.Background(), ledger.Stream{}, frames[i%len(frames)])
						if err != nil {
							b.Error(err)
							return
						}
						if window = append(window, w); len(window) == 32 {
							wait()
						}
					}
					for len(window) > 0 {
						wait()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := l.Stats()
			// Wall time depends on who else uses the machine; processor time hardly.
			b.ReportMetric(float64((processorTime(b)-cpu).Microseconds())/float64(s.Entries), "cpu-µs/entry")
			b.ReportMetric(float64(s.Entries)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(s.Entries)/float64(s.Commits), "entries/commit")
			b.ReportMetric(float64(s.Bytes)/float64(s.Entries), "body-B/entry")
			b.ReportMetric(float64(s.Stored)/float64(s.Entries), "block-B/entry")
			if err := l.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			if s.Entries > 200000 {
				if err := store.Compact(context.Background()); err != nil {
					b.Fatal(err)
				}
				usage, err := store.Usage()
				if err != nil {
					b.Fatal(err)
				}
				// Without the write-ahead log, whose few files are written over again and again.
				b.ReportMetric(float64(store.Size()-usage[0])/float64(s.Entries), "disk-B/entry")
				b.Logf("%d entries: blocks %d, checkpoints %d, hashes %d, index %d, log and the rest %d bytes", s.Entries,
					usage['b'], usage['c'], usage['h'], usage['i']+usage['r'], usage[0])
			}
		})
	}
}

// benchFilled is a log of 300,000 entries: four runs in the store and a tail in memory.
func benchFilled(b *testing.B, v *vault) (*localstore.Store, *ledger.Ledger) {
	store, l, reports := benchWorldWith(b, v)
	for i := range 300 {
		var frame []hippad.Entry
		for j := range 1000 {
			frame = append(frame, reports[(i*1000+j)%len(reports)]...)
		}
		if _, err := tryRecord(b.Context(), l, ledger.Stream{}, frame); err != nil {
			b.Fatal(err)
		}
	}
	return store, l
}

func BenchmarkFind(b *testing.B) {
	_, l := benchFilled(b, nil)
	sample := func() []uint64 {
		for e, err := range l.Entries(b.Context(), 123456, 123457) {
			if err != nil {
				b.Fatal(err)
			}
			return benchIndex(e).Terms
		}
		return nil
	}()
	for name, f := range map[string]ledger.Find{
		"all of a patient":             {Terms: [][]uint64{{sample[1]}}},
		"50 newest of a frequent term": {Terms: [][]uint64{{sample[7]}}},
		"50 newest of three terms":     {Terms: [][]uint64{{sample[7]}, {sample[5]}, {sample[9]}}},
		"50 newest":                    {},
	} {
		b.Run(name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				var at []int64
				for i, err := range l.Find(b.Context(), f) {
					if err != nil {
						b.Fatal(err)
					}
					if at = append(at, i); len(at) == 50 && name != "all of a patient" {
						break
					}
				}
				found = 0
				for _, err := range l.EntriesAt(b.Context(), at) {
					if err != nil {
						b.Fatal(err)
					}
					found++
				}
			}
			b.ReportMetric(float64(found), "entries")
		})
	}
}

func BenchmarkReceipt(b *testing.B) {
	_, l := benchFilled(b, nil)
	i := int64(0)
	for b.Loop() {
		i = (i*7919 + 13) % l.Size()
		if _, err := l.Receipt(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAudit(b *testing.B) {
	store, l := benchFilled(b, nil)
	o := options()
	o.Index = benchIndex
	n := 0
	for b.Loop() {
		if _, err := ledger.Audit(b.Context(), store, o, nil); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)*float64(l.Size())/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkOpen(b *testing.B) {
	store, l := benchFilled(b, nil)
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	o := options()
	o.Index = benchIndex
	for b.Loop() {
		l, err := ledger.Open(b.Context(), store, o)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEntries reads 10,000 entries.
func BenchmarkEntries(b *testing.B) {
	for _, v := range []*vault{nil, newVault()} {
		b.Run(fmt.Sprintf("sealed=%t", v != nil), func(b *testing.B) {
			_, l := benchFilled(b, v)
			b.ResetTimer()
			for b.Loop() {
				for _, err := range l.Entries(b.Context(), 100000, 110000) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/10000/float64(b.N), "ns/entry")
		})
	}
}

// BenchmarkPurge ends the content of 300,000 entries, and then drops the old bytes.
func BenchmarkPurge(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		store, l := benchFilled(b, newVault())
		b.StartTimer()
		got, err := l.Purge(b.Context(), ledger.Purge{Keys: []uint32{1}})
		if err != nil || got.Destroyed != 300000 {
			b.Fatal(got.Destroyed, err)
		}
		if err := store.Forget(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(300000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkReseal seals 300,000 entries of a log that was not sealed.
func BenchmarkReseal(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		store, l := benchFilled(b, nil)
		if err := l.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		o := newVault().options()
		o.RunLength, o.Index = 0, benchIndex
		l = open(b, store, o)
		b.StartTimer()
		if err := l.Reseal(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(300000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
