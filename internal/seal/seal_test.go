package seal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/seal"
)

func TestKeysSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	a, err := seal.Open(dir, "log.example/hippad")
	if err != nil {
		t.Fatal(err)
	}
	b, err := seal.Open(dir, "another name is ignored")
	if err != nil {
		t.Fatal(err)
	}
	if a.VerifierKey != b.VerifierKey || a.Signer.Name() != "log.example/hippad" {
		t.Errorf("vkey %q, then %q", a.VerifierKey, b.VerifierKey)
	}
	term := hippad.NewTerm(hippad.FieldPatient, "1234^^^&1.2.3&ISO")
	if a.Salt(7) != b.Salt(7) || a.Term(term) != b.Term(term) {
		t.Error("salts or terms changed over a restart")
	}
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
	other, err := seal.Open(t.TempDir(), "log.example/hippad")
	if err != nil {
		t.Fatal(err)
	}
	if other.Salt(7) == a.Salt(7) || other.Term(term) == a.Term(term) {
		t.Error("another log draws the same secrets")
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := seal.Open(dir, "log.example"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"log.key", "blind.key"} {
		st, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, st.Mode())
		}
	}
}

func TestDamagedOrMissingFileIsNamed(t *testing.T) {
	for _, file := range []string{"log.key", "blind.key"} {
		for what, damage := range map[string]func(string) error{
			"missing":   os.Remove,
			"empty":     func(f string) error { return os.Truncate(f, 0) },
			"truncated": func(f string) error { return os.Truncate(f, 40) },
			"other":     func(f string) error { return os.WriteFile(f, []byte("hello\n"), 0o600) },
		} {
			dir := t.TempDir()
			if _, err := seal.Open(dir, "log.example"); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			if _, err := seal.Open(dir, "log.example"); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s %s: %v", what, file, err)
			}
		}
	}
}

func BenchmarkTerm(b *testing.B) {
	k, err := seal.Open(b.TempDir(), "log.example")
	if err != nil {
		b.Fatal(err)
	}
	term := hippad.NewTerm(hippad.FieldPatient, "urn:oid:1.2.840.113619.6.197|1234567")
	b.ReportAllocs()
	for b.Loop() {
		k.Term(term)
	}
}
