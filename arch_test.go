package hippad_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayImport is the import table of docs/design.md: what each package may import of this module, outside its tests. A package
// that is not here is not allowed to exist; cmd/hippad knows all of them.
var mayImport = map[string][]string{
	"hippad":                     {},
	"hippad/receipt":             {"hippad"},
	"hippad/wire":                {"hippad", "hippad/receipt"},
	"hippad/spool":               {"hippad"},
	"hippad/internal/front":      {"hippad", "hippad/internal/traffic"},
	"hippad/internal/traffic":    {},
	"hippad/internal/port":       {"hippad"},
	"hippad/internal/atna":       {"hippad"},
	"hippad/internal/fhir":       {"hippad"},
	"hippad/internal/tlog":       {"hippad"},
	"hippad/internal/durable":    {},
	"hippad/internal/seal":       {"hippad", "hippad/internal/durable"},
	"hippad/internal/identity":   {"hippad", "hippad/internal/durable"},
	"hippad/internal/account":    {"hippad", "hippad/internal/durable"},
	"hippad/internal/web":        {"hippad", "hippad/internal/account"},
	"hippad/internal/regulation": {"hippad"},
	"hippad/internal/sheet":      {"hippad"},
	"hippad/internal/document":   {},
	"hippad/internal/disclosure": {"hippad", "hippad/internal/ledger", "hippad/internal/regulation", "hippad/internal/repository"},
	"hippad/internal/breach":     {"hippad", "hippad/receipt", "hippad/internal/ledger", "hippad/internal/regulation", "hippad/internal/repository"},
	"hippad/internal/review":     {"hippad", "hippad/internal/ledger", "hippad/internal/regulation", "hippad/internal/repository", "hippad/internal/sheet"},
	"hippad/internal/hospital":   {"hippad"},
	"hippad/internal/testlog": {"hippad", "hippad/internal/atna", "hippad/internal/fhir", "hippad/internal/ledger", "hippad/internal/repository", "hippad/internal/seal",
		"hippad/internal/storetest"},
	"hippad/internal/crosswalk":    {"hippad", "hippad/internal/ledger", "hippad/internal/repository"},
	"hippad/internal/completeness": {"hippad"},
	"hippad/internal/forward":      {"hippad", "hippad/internal/durable", "hippad/wire"},
	"hippad/internal/custody":      {"hippad", "hippad/internal/ledger", "hippad/internal/regulation", "hippad/internal/repository"},
	"hippad/internal/ledger":       {"hippad", "hippad/receipt"},
	"hippad/internal/localstore":   {"hippad", "hippad/internal/ledger"},
	"hippad/internal/storetest":    {"hippad", "hippad/receipt", "hippad/internal/ledger"},
	"hippad/internal/repository":   {"hippad", "hippad/internal/ledger"},
	"hippad/cmd/hippad":            {"*"},
}

// onlyInTests are packages that no program may link.
var onlyInTests = []string{"testing", "hippad/internal/storetest", "hippad/internal/hospital", "hippad/internal/testlog", "github.com/transparency-dev/tessera", "pgregory.net/rapid",
	"github.com/rogpeppe/go-internal", "github.com/go-jose/go-jose/v4"}

type pkg struct {
	ImportPath, Dir string
	Standard        bool
	Imports         []string
	GoFiles         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		seen[p.ImportPath] = true
		may, ok := mayImport[p.ImportPath]
		if !ok {
			t.Errorf("%s is not in the import table: docs/design.md says which rooms there are", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			own := i == "hippad" || strings.HasPrefix(i, "hippad/")
			if own && !slices.Contains(may, i) && !slices.Contains(may, "*") {
				t.Errorf("%s must not import %s", p.ImportPath, i)
			}
			if p.ImportPath == "hippad" && strings.Contains(strings.Split(i, "/")[0], ".") {
				t.Errorf("the root imports %s: only the standard library is allowed there", i)
			}
			for _, banned := range onlyInTests {
				if (i == banned || strings.HasPrefix(i, banned+"/")) && !slices.Contains(onlyInTests, p.ImportPath) {
					t.Errorf("%s imports %s outside its tests", p.ImportPath, i)
				}
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("%s is in the import table but does not exist", name)
		}
	}
}

// Every package says what it owns: a comment that belongs to the package clause, of more than one sentence.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		var doc string
		for _, f := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				doc += parsed.Doc.Text()
			}
		}
		want := "Package " + filepath.Base(p.ImportPath) + " "
		if p.ImportPath == "hippad/cmd/hippad" {
			want = "Command hippad "
		}
		if !strings.HasPrefix(doc, want) || strings.Count(doc, ".") < 2 {
			t.Errorf("%s: the package comment must begin with %q and say what the package owns and what it does not", p.ImportPath, want)
		}
	}
}

// No effects at import, no state shared behind the caller's back: see docs/design.md.
func TestNoInitAndNoGlobalState(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s has an init function", p.ImportPath, f)
				}
			}
		}
	}
}

// Tracked text speaks of the project alone: no path of somebody's machine.
func TestNoMachinePaths(t *testing.T) {
	machine := regexp.MustCompile(`(^|[\s"'(=])/(home|root|work|Users)/\w`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go", ".md", ".sh", ".txt", ".txtar":
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if m := machine.Find(text); m != nil && !strings.HasSuffix(path, "arch_test.go") {
				t.Errorf("%s names a path of one machine: %q", path, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
