package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hippad/internal/document"
)

// documentForms are the ends of a file's name that ask for a document.
var documentForms = []string{".pdf", ".html", ".txt"}

// checkReport refuses a file that a report cannot be written to before the server is asked: what it is asked for is in the log from then on.
func checkReport(out string, forms ...string) error {
	if out == "" {
		return nil
	}
	if !slices.Contains(forms, strings.ToLower(filepath.Ext(out))) {
		last := len(forms) - 1
		return usagef("%s: want a name that ends with %s or %s", printable(out), strings.Join(forms[:last], ", "), forms[last])
	}
	return mustBeNew(out)
}

// reportTo writes what a report makes of a file's name: to stdout as text if there is none.
func reportTo(cmd *cobra.Command, out string, write func(w io.Writer, form string) error) error {
	if out == "" {
		return write(cmd.OutOrStdout(), ".txt")
	}
	if err := mustBeNew(out); err != nil { // once more: it may have come meanwhile
		return err
	}
	return writeNew(out, func(w io.Writer) error { return write(w, strings.ToLower(filepath.Ext(out))) })
}

// writeDocument writes a document in the form that the end of a file's name asks for.
func writeDocument(w io.Writer, d *document.Document, form string) error {
	switch form {
	case ".txt":
		return d.WriteText(w, firstWidth(terminalWidth(w)))
	case ".html":
		return d.WriteHTML(w)
	case ".pdf":
		return d.WritePDF(w)
	}
	return fmt.Errorf("a document has no form %s", form) // see checkReport
}

func firstWidth(n int) int {
	if n == 0 {
		return 80
	}
	return n
}
