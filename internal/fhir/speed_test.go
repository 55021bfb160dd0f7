package fhir

import (
	"testing"

	"hippad"
)

// The benchmarks read and write one typical event, of about 2 KB in R4 JSON: ns/op is the time of one report, MB/s that of its text.

func typicalIn(b *testing.B, r Release) (ev hippad.Event, asJSON, asXML []byte) {
	b.Helper()
	ev = Read([]byte(typical))
	asJSON = []byte(typical)
	if r == R5 {
		asJSON = WriteRelease(ev, R5)
	}
	asXML, err := toXML(asJSON)
	if err != nil {
		b.Fatal(err)
	}
	return ev, asJSON, asXML
}

func BenchmarkRead(b *testing.B) {
	for _, r := range []Release{R4, R5} {
		b.Run(r.String(), func(b *testing.B) {
			_, body, _ := typicalIn(b, r)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				Read(body)
			}
		})
	}
}

func BenchmarkReadXML(b *testing.B) {
	for _, r := range []Release{R4, R5} {
		b.Run(r.String(), func(b *testing.B) {
			_, _, body := typicalIn(b, r)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				ReadXML(body)
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, r := range []Release{R4, R5} {
		b.Run(r.String(), func(b *testing.B) {
			ev, _, _ := typicalIn(b, r)
			b.SetBytes(int64(len(WriteRelease(ev, r))))
			b.ReportAllocs()
			for b.Loop() {
				WriteRelease(ev, r)
			}
		})
	}
}

func BenchmarkToXML(b *testing.B) {
	_, body, _ := typicalIn(b, R4)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := toXML(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAsSent(b *testing.B) {
	_, body, _ := typicalIn(b, R4)
	report := hippad.Report{Media: hippad.MediaFHIRJSON, Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		asSent(report, R4)
	}
}

func BenchmarkCheck(b *testing.B) {
	_, body, _ := typicalIn(b, R4)
	report := hippad.Report{Media: hippad.MediaFHIRJSON, Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		Check(report)
	}
}

// BenchmarkReadSamples reads every JSON sample in turn.
func BenchmarkReadSamples(b *testing.B) {
	bodies, _ := sampleBodies(b)
	var all [][]byte
	size := 0
	for _, body := range bodies {
		all = append(all, body)
		size += len(body)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, body := range all {
			Read(body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/report")
}
