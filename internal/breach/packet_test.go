package breach_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/regulation"
	"hippad/internal/testlog"
	"hippad/receipt"
)

type file struct {
	name string
	text []byte
}

func unpack(t testlog.T, archive []byte) (files []file) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{h.Name, text})
	}
}

func pack(t testlog.T, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noticed is a case with everything in it, and its packet.
func noticed(t *testing.T) (*world, int64, []byte) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, breach.Step{Assess: []regulation.BreachAnswer{{Question: regulation.Factor1, Text: "names", Author: "olga"}}})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	if _, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{mailed(2, id(1), "2026-11-21")}, false); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	return w, c, b.Bytes()
}

func (w *world) verify(archive []byte) (breach.Verified, error) {
	return breach.VerifyPacket(bytes.NewReader(archive), w.log.Keys.Verifier, testlog.Read)
}

func TestPacket(t *testing.T) {
	w, c, archive := noticed(t)
	got, err := w.verify(archive)
	if err != nil {
		t.Fatal(err)
	}
	if got.Case.ID != c || got.Own != 6 || got.Scope != 6 || got.Log != "log.example" || got.Changed || got.Sealed != w.Ledger.Size()-1 {
		t.Errorf("own %d, scope %d, log %s, changed %v, sealed %d", got.Own, got.Scope, got.Log, got.Changed, got.Sealed)
	}
	files := unpack(t, archive)
	bodies := map[string][]byte{}
	for _, f := range files {
		bodies[f.name] = f.text
	}
	for name, text := range bodies {
		proof, ok := strings.CutSuffix(name, ".body")
		if !ok {
			continue
		}
		if _, err := receipt.Verify(bodies[proof+".tlog-proof"], text, w.log.Keys.Verifier); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Contains(bodies["README.txt"], []byte("hippad breach verify")) {
		t.Error("README.txt does not say how to verify")
	}
	// A second one holds too, and after a restart.
	w.restart(t)
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	if got, err := w.verify(b.Bytes()); err != nil || got.Own != 7 {
		t.Errorf("%d entries, %v", got.Own, err)
	}
}

// Whatever file of a packet is changed, left out, doubled, or put in another's place, it is named.
func TestEveryChangedFileIsNamed(t *testing.T) {
	w, _, archive := noticed(t)
	files := unpack(t, archive)
	wrong := func(changed []file) string {
		_, err := w.verify(pack(t, changed))
		var f *breach.WrongFile
		if !errors.As(err, &f) {
			return fmt.Sprint("not a wrong file: ", err)
		}
		return f.Name
	}
	for i, f := range files {
		places := []int{0, len(f.text) / 2, len(f.text) - 1}
		if strings.HasPrefix(f.name, "packet.") { // nothing but the verifier vouches for these: every byte
			places = nil
			for at := range f.text {
				places = append(places, at)
			}
		}
		for _, at := range places {
			changed := append([]file{}, files...)
			text := bytes.Clone(f.text)
			text[at] ^= 1
			changed[i].text = text
			if got := wrong(changed); got != f.name && !partner(got, f.name) {
				t.Errorf("%s changed at %d: %s is named", f.name, at, got)
			}
		}
		without := append(append([]file{}, files[:i]...), files[i+1:]...)
		if got := wrong(without); got != f.name && !partner(got, f.name) && !(f.name == "scope.jsonl" && strings.HasPrefix(got, "scope/")) {
			t.Errorf("without %s: %s is named", f.name, got)
		}
		if got := wrong(append(append([]file{}, files...), f)); got != f.name {
			t.Errorf("with %s twice: %s is named", f.name, got)
		}
	}
	if got := wrong(append([]file{{"notes.txt", []byte("x")}}, files...)); got != "notes.txt" {
		t.Errorf("a file too many: %s is named", got)
	}
	for _, f := range files[4:7] { // an entry that the log has, of another case or of this one, behind what vouches for the others
		stranger := file{strings.Replace(f.name, "case/", "scope/", 1), f.text}
		if got := wrong(append(append([]file{}, files...), stranger)); got != stranger.name {
			t.Errorf("%s at the end: %s is named", stranger.name, got)
		}
	}
	for _, cut := range []int{513, len(archive) / 2, len(archive) - 2000} {
		var f *breach.WrongFile
		if _, err := w.verify(archive[:cut]); !errors.As(err, &f) {
			t.Errorf("cut off at %d: %v", cut, err)
		}
	}
	if got := wrong(nil); got != "SHA256SUMS" {
		t.Errorf("an empty archive: %s is named", got)
	}
	if _, err := w.verify([]byte("no archive at all, but long enough to be looked at" + strings.Repeat("x", 1000))); err == nil {
		t.Error("what is no archive holds")
	}
	other := open(t)
	if _, err := breach.VerifyPacket(bytes.NewReader(archive), other.log.Keys.Verifier, testlog.Read); err == nil {
		t.Error("it holds under the key of another log")
	}
}

// partner tells whether two names are files of one entry: of a receipt and a body that do not belong together nobody can say which is wrong.
func partner(a, b string) bool {
	stem := func(s string) string {
		for _, suffix := range []string{".json", ".tlog-proof", ".body"} {
			s = strings.TrimSuffix(s, suffix)
		}
		return s
	}
	return stem(a) == stem(b) && a != b && (strings.Contains(a, "/") || strings.HasPrefix(a, "packet"))
}

// A packet whose case was told otherwise, with sums to match, is found out by its entries and by the log.
func TestForgedPacket(t *testing.T) {
	w, c, _ := noticed(t)
	w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-23"), Tracking: "T-1"}})
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, b.Bytes())
	for i := range files {
		switch files[i].name {
		case "case.json":
			files[i].text = bytes.Replace(files[i].text, []byte("T-1"), []byte("T-2"), 1)
		}
	}
	var sums strings.Builder
	for i := range files {
		if files[i].name == "SHA256SUMS" {
			files[i].text = []byte(sums.String())
			break
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(files[i].text), files[i].name)
	}
	var f *breach.WrongFile
	if _, err := w.verify(pack(t, files)); !errors.As(err, &f) || f.Name != "SHA256SUMS" {
		t.Errorf("forged: %v", err)
	}
}

// Of an entry whose content was destroyed the packet still has the receipt, which is checked as far as it goes.
func TestPacketWithDestroyed(t *testing.T) {
	w, first := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, Entries: []hippad.Range{{First: first, Count: 2}}})
	keep := func(e hippad.Entry) bool { return e.Index != first }
	if _, err := w.Ledger.Purge(t.Context(), ledger.Purge{Keys: []uint32{1}, Keep: keep, KeepClass: "held"}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	if got, err := w.verify(b.Bytes()); err != nil || got.Destroyed != 1 || got.Scope != 2 || !got.Changed {
		t.Errorf("%d destroyed, %d in the scope, changed %v, %v", got.Destroyed, got.Scope, got.Changed, err)
	}
	other := open(t)
	var f *breach.WrongFile
	if _, err := breach.VerifyPacket(bytes.NewReader(b.Bytes()), other.log.Keys.Verifier, testlog.Read); !errors.As(err, &f) || f.Name != "log.vkey" {
		t.Errorf("under another key: %v", err)
	}
	files := unpack(t, b.Bytes())
	i := slices.IndexFunc(files, func(f file) bool { return f.name == fmt.Sprintf("scope/%d.tlog-proof", first) })
	files[i].text = bytes.Replace(files[i].text, []byte("\nindex "), []byte("\nindex 1"), 1)
	if _, err := w.verify(pack(t, files)); !errors.As(err, &f) || f.Name != files[i].name {
		t.Errorf("with another receipt: %v", err)
	}
}

// An entry of another case, with a receipt that holds, is not of this packet: not before SHA256SUMS, and not behind it.
func TestEntryOfAnotherCase(t *testing.T) {
	w, c, archive := noticed(t)
	other := w.begin(t)
	w.do(t, other, decided())
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, other, &b); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive)
	var strange []file
	for _, f := range unpack(t, b.Bytes()) {
		if strings.HasPrefix(f.name, "case/") && !strings.HasPrefix(f.name, fmt.Sprintf("case/%d.", other)) {
			strange = append(strange, f)
		}
	}
	if len(strange) != 3 || c == other {
		t.Fatalf("%d files", len(strange))
	}
	for at, all := range map[string][]file{"before": append(append([]file{}, strange...), files...), "behind": append(files, strange...)} {
		var f *breach.WrongFile
		if _, err := w.verify(pack(t, all)); !errors.As(err, &f) || f.Name != strange[0].name {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// What verifies a packet never panics, whatever it is given.
func FuzzVerifyPacket(f *testing.F) {
	keys := newWorld(f).log.Keys
	f.Add(pack(f, []file{{"README.txt", []byte("x")}, {"case.json", []byte("{}\n")}, {"case/1.json", []byte("{}")}, {"case/1.tlog-proof", []byte("x")}, {"case/1.body", nil}, {"SHA256SUMS", []byte("00  README.txt\n")}}))
	f.Add(pack(f, []file{{"scope.jsonl", []byte("{\"entries\":[1]}\n")}, {"packet.json", []byte("{\"destroyed\":true}")}, {"packet.tlog-proof", []byte("c2sp.org/tlog-proof@v1\n")}, {"packet.body", nil}}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		if _, err := breach.VerifyPacket(bytes.NewReader(archive), keys.Verifier, testlog.Read); err == nil {
			t.Error("it holds")
		}
	})
}

// A scope of a user with 100,000 accesses to 20,000 patients, in a log on disk with ten times as many.
func BenchmarkScope(b *testing.B) {
	w := newWorld(b)
	store, err := localstore.Open(b.TempDir(), localstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w.log.Disk = store
	w.open(b)
	b.Cleanup(func() {
		w.stop(b)
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	const accesses, others, batch = 100_000, 900_000, 5_000
	for i := 0; i < accesses+others; i += batch {
		var bodies []string
		for j := range batch {
			user := fmt.Sprintf("user%d", j%500)
			if j%10 == 0 {
				user = "nurse"
			}
			bodies = append(bodies, access("2026-10-01T08:00:00Z", user, "0", mrn((i+j)/10%20_000)))
		}
		w.log.Report(b, bodies...)
	}
	c := w.begin(b)
	b.ResetTimer()
	for b.Loop() {
		s, err := w.Scope(b.Context(), olga, breach.Order{Case: c, User: "nurse"})
		if err != nil {
			b.Fatal(err)
		}
		if s.Entries != accesses || s.Individuals != 20_000 {
			b.Fatalf("%d entries, %d individuals", s.Entries, s.Individuals)
		}
	}
	b.ReportMetric(accesses*float64(b.N)/b.Elapsed().Seconds(), "accesses/s")
}
