package seal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/seal"
)

func open(t testing.TB, dir string, o seal.Options) *seal.Keys {
	t.Helper()
	k, err := seal.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var named = seal.Options{Origin: "log.example/hippad"}

func TestKeysSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, named)
	b := open(t, dir, seal.Options{Origin: "another name is ignored"})
	if a.VerifierKey != b.VerifierKey || a.Signer.Name() != "log.example/hippad" {
		t.Errorf("vkey %q, then %q", a.VerifierKey, b.VerifierKey)
	}
	sameBlinding(t, a, b)
	term := hippad.NewTerm(hippad.FieldPatient, "1234^^^&1.2.3&ISO")
	if a.Salt(7) == a.Salt(8) || a.Term(term) == a.Term(hippad.NewTerm(hippad.FieldEntity, "1234^^^&1.2.3&ISO")) {
		t.Error("different inputs, same output")
	}
	signed, err := note.Sign(&note.Note{Text: "x\n"}, a.Signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(b.Verifier)); err != nil {
		t.Error(err)
	}
	other := open(t, t.TempDir(), named)
	if other.Salt(7) == a.Salt(7) || other.Term(term) == a.Term(term) {
		t.Error("another log draws the same secrets")
	}
	if a.Opened.What != seal.UseMade || b.Opened.What != seal.UseOpened || b.Opened.Master != "file "+filepath.Join(dir, "master.key") {
		t.Errorf("%+v, then %+v", a.Opened, b.Opened)
	}
}

func sameBlinding(t *testing.T, a, b *seal.Keys) {
	t.Helper()
	term := hippad.NewTerm(hippad.FieldPatient, "1234^^^&1.2.3&ISO")
	if a.Salt(7) != b.Salt(7) || a.Term(term) != b.Term(term) {
		t.Error("salts or terms have changed")
	}
}

func TestANameThatIsNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, origin := range []string{"", "a+b", "a b"} {
		if _, err := seal.Open(t.Context(), dir, seal.Options{Origin: origin}); err == nil {
			t.Errorf("%q names a log", origin)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("keys were made for a log without a name")
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open(t, dir, named)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if st, err := f.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), st.Mode())
		}
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v", st.Mode())
	}
}

func TestDamagedOrMissingFileIsNamed(t *testing.T) {
	for _, file := range []string{"log.key", "ring.json", "master.key"} {
		for what, damage := range map[string]func(string) error{
			"missing":   os.Remove,
			"empty":     func(f string) error { return os.Truncate(f, 0) },
			"truncated": func(f string) error { return os.Truncate(f, 40) },
			"other":     func(f string) error { return os.WriteFile(f, []byte("hello\n"), 0o600) },
			"huge":      func(f string) error { return os.Truncate(f, 1<<30) },
		} {
			dir := t.TempDir()
			open(t, dir, named)
			if err := damage(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			_, err := seal.Open(t.Context(), dir, named)
			if err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s %s: %v", what, file, err)
			}
			if _, hint := hippad.Public(err); file != "log.key" && hint == "" {
				t.Errorf("%s %s: there is no hint", what, file)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("%s %s: something was changed", what, file)
			}
		}
	}
}

func TestDamagedOrMissingFileOfVersion1IsNamed(t *testing.T) {
	for _, file := range []string{"log.key", "blind.key"} {
		for _, readOnly := range []bool{false, true} {
			dir := version1(t)
			put(t, filepath.Join(dir, file), "hello\n")
			if _, err := seal.Open(t.Context(), dir, seal.Options{ReadOnly: readOnly}); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", file, err)
			}
			os.Remove(filepath.Join(dir, file))
			_, err := seal.Open(t.Context(), dir, seal.Options{ReadOnly: readOnly})
			wantKind(t, err, hippad.Unavailable)
		}
	}
	_, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example", ReadOnly: true})
	wantKind(t, err, hippad.Unavailable, "log.key")
}

// tree returns the names and beginnings of all files in a directory.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := make([]byte, 1<<16)
		r, err := os.Open(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := r.Read(text)
		r.Close()
		b.WriteString(f.Name() + "\n" + string(text[:n]) + "\n")
	}
	return b.String()
}

// version1 makes a directory as it was written before there was a ring.
func version1(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	put(t, filepath.Join(dir, "log.key"), "PRIVATE+KEY+log.example/hippad+be21ae4f+ASAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/\n")
	put(t, filepath.Join(dir, "blind.key"), "hippad-blind-key-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	return dir
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// wantVersion1 checks what must be drawn from version1's blind.key for ever, because salts are in receipts and terms in indexes.
// The figures were made by another program.
func wantVersion1(t *testing.T, k *seal.Keys) {
	t.Helper()
	if salt := k.Salt(7); fmt.Sprintf("%x", salt) != "3a9b00bf68204e69eaf383f90ed0e88a8ab8a839c6d85281ad40580347014fce" {
		t.Errorf("salt %x", salt)
	}
	if term := k.Term(hippad.NewTerm(hippad.FieldPatient, "4711")); term != 0xf56b8fc4c2872719 {
		t.Errorf("term %x", term)
	}
	if k.Signer.Name() != "log.example/hippad" {
		t.Errorf("name %q", k.Signer.Name())
	}
}

func TestVersion1IsTakenIn(t *testing.T) {
	dir := version1(t)
	blind, ring := filepath.Join(dir, "blind.key"), filepath.Join(dir, "ring.json")
	before := tree(t, dir)

	k := open(t, dir, seal.Options{ReadOnly: true})
	wantVersion1(t, k)
	_, _, err := k.SealKey(november, "x")
	wantKind(t, err, hippad.Conflict)
	_, err = k.SealBytes("x", nil)
	wantKind(t, err, hippad.Conflict)
	if tree(t, dir) != before || k.Master() != "" || len(k.Created()) != 0 {
		t.Error("opening for reading has changed something")
	}

	text := get(t, blind)
	k = open(t, dir, seal.Options{})
	wantVersion1(t, k)
	if exists(blind) || k.Opened.What != seal.UseTakenIn {
		t.Errorf("blind.key is still there: %+v", k.Opened)
	}
	wantVersion1(t, open(t, dir, seal.Options{}))

	// A crash after ring.json was written and before blind.key was removed.
	put(t, blind, text)
	wantVersion1(t, open(t, dir, seal.Options{ReadOnly: true}))
	if !exists(blind) {
		t.Error("opening for reading has removed blind.key")
	}
	wantVersion1(t, open(t, dir, seal.Options{}))
	if exists(blind) {
		t.Error("blind.key is still there")
	}

	// Another one, as after putting back half a backup.
	put(t, blind, "hippad-blind-key-1 "+strings.Repeat("A", 43)+"=\n")
	_, err = seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Conflict, "blind.key", "ring.json")
	put(t, blind, "damaged")
	_, err = seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Conflict, "blind.key", "ring.json")

	// A crash before ring.json was written: only the new master file is there.
	os.Remove(ring)
	put(t, blind, text)
	put(t, filepath.Join(dir, "ring.json.new-1234"), "half a file")
	wantVersion1(t, open(t, dir, seal.Options{}))
	put(t, filepath.Join(dir, "ring.json.new-1234"), "half a file")
	wantVersion1(t, open(t, dir, seal.Options{}))
	if exists(filepath.Join(dir, "ring.json.new-1234")) {
		t.Error("the half file is still there")
	}
}

func wantKind(t testing.TB, err error, kind hippad.Kind, words ...string) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != kind {
		t.Errorf("%v: kind %v, want %v", err, hippad.KindOf(err), kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func BenchmarkTerm(b *testing.B) {
	k := open(b, b.TempDir(), named)
	term := hippad.NewTerm(hippad.FieldPatient, "urn:oid:1.2.840.113619.6.197|1234567")
	b.ReportAllocs()
	for b.Loop() {
		k.Term(term)
	}
}
