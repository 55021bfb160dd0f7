package hippad_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var citation = regexp.MustCompile(`\b16[04]\.[0-9]{3}(\([A-Za-z0-9]+\))*|42 CFR 2\.[0-9]+`)

// declaration is a function, a method, a type, or a name in a list of constants, variables or fields.
var declaration = regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |\t|(?:const|var) )(\w+)`)

// docs/regulation.md is the whole of the law that this program knows: who changes a rule finds its function and its test there.
func TestEveryCitationIsInTheTable(t *testing.T) {
	page, err := os.ReadFile("docs/regulation.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections, functions, tests []string
	for _, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || strings.HasPrefix(line, "| section") || strings.HasPrefix(line, "|---") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		found := citation.FindAllString(cells[1], -1)
		if len(found) == 0 && cells[1] == "" || cells[2] == "" || !slices.Contains([]string{"V", "M", "C"}, cells[3]) {
			t.Errorf("a row needs a section, a rule and a mark: %s", line)
		}
		sections = append(sections, found...)
		functions = append(functions, quoted(cells[4])...)
		tests = append(tests, quoted(cells[5])...)
	}
	var code, testCode strings.Builder
	for name, text := range goFiles(t) {
		if strings.HasSuffix(name, "_test.go") {
			testCode.WriteString(text)
			continue
		}
		code.WriteString(text)
		for _, cite := range citation.FindAllString(text, -1) {
			if !slices.ContainsFunc(sections, func(s string) bool { return s == cite || strings.HasPrefix(s, cite+"(") }) {
				t.Errorf("%s cites %s, which docs/regulation.md lacks", name, cite)
			}
		}
	}
	declared := map[string]bool{}
	for _, m := range declaration.FindAllStringSubmatch(code.String(), -1) {
		declared[m[1]] = true
	}
	for _, f := range functions {
		if !declared[f[strings.LastIndexByte(f, '.')+1:]] {
			t.Errorf("docs/regulation.md names %s, which the code lacks", f)
		}
	}
	scripts, _ := filepath.Glob("cmd/hippad/testdata/*.txtar")
	for _, name := range tests {
		isScript := slices.ContainsFunc(scripts, func(s string) bool { return filepath.Base(s) == name })
		if !isScript && !strings.Contains(testCode.String(), "func "+name+"(") {
			t.Errorf("docs/regulation.md names the test %s, which there is not", name)
		}
	}
}

// quoted returns what stands between backquotes.
func quoted(cell string) (out []string) {
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}

func goFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			var text []byte
			text, err = os.ReadFile(path)
			files[path] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
