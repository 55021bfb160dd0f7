package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"hippad/internal/durable"
)

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "folder", "file")
	for _, text := range []string{"first", "second, which is longer", ""} {
		if err := durable.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// A write that fails leaves the file as it was, and nothing beside it.
func TestWriteFileThatFails(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken") // a directory cannot be replaced by a file
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(taken, []byte("text"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if err := durable.WriteFile(filepath.Join(taken, "x", "..", "..", "taken", "x"), nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
}
