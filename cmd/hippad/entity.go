package main

import (
	"os"

	"hippad/internal/regulation"
)

// openEntity reads who answers for the log. Without a file it is whoever has this machine, of whom nothing is known.
func openEntity(file, host string) (*regulation.Organisation, error) {
	if file == "" {
		return &regulation.Organisation{Name: host}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	return regulation.ParseOrganisation(f)
}
