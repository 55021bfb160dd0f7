package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad"
	"hippad/internal/durable"
)

const (
	fileName   = "accounts.json"
	fileFormat = 1
	maxFile    = 64 << 20
)

// document is the file. Byte strings are in base64; a hash is the SHA-256 of something drawn at random.
type document struct {
	Format   int      `json:"format"`
	FirstRun []byte   `json:"firstRunCode,omitzero"` // hash of the code of the first run
	Accounts []record `json:"accounts"`
}

// A record is one account in the file.
type record struct {
	Name         string        `json:"name"`
	Display      string        `json:"display,omitzero"`
	Roles        []hippad.Role `json:"roles"`
	Organisation string        `json:"organisation,omitzero"`
	Created      time.Time     `json:"created"`
	Disabled     bool          `json:"disabled,omitzero"`
	Password     *password     `json:"password,omitzero"`
	Factor       *factor       `json:"secondFactor,omitzero"`
	Setup        *setup        `json:"setup,omitzero"`
}

// A setup is a code that was given out, and until when it is good.
type setup struct {
	Code  []byte    `json:"code"` // its hash
	Until time.Time `json:"until"`
}

func (r record) public() Account {
	a := Account{
		Name: r.Name, Display: r.Display, Roles: append([]hippad.Role(nil), r.Roles...), Organisation: r.Organisation, Created: r.Created,
		Disabled: r.Disabled, Ready: r.ready(),
	}
	if r.Factor != nil {
		a.RecoveryLeft = len(r.Factor.Recovery)
	}
	return a
}

// ready tells whether the owner has finished the setup.
func (r record) ready() bool { return r.Password != nil && r.Factor != nil }

// check tells what is wrong with a record, new or read.
func (r record) check() error {
	if !goodName.MatchString(r.Name) {
		return hippad.Errorf(hippad.Invalid, "the name of an account has 1 to 64 of a-z 0-9 . _ @ -")
	}
	if !isLine(r.Display) || !isLine(r.Organisation) {
		return hippad.Errorf(hippad.Invalid, "a person's name and organisation are one line each, of at most %d bytes", maxText)
	}
	if err := checkRoles(r.Roles); err != nil {
		return err
	}
	if r.Password != nil {
		if err := r.Password.check(); err != nil {
			return err
		}
	}
	if r.Factor != nil {
		if err := r.Factor.check(); err != nil {
			return err
		}
	}
	if r.Setup != nil && len(r.Setup.Code) != hashSize {
		return errors.New("a setup code of the wrong length")
	}
	return nil
}

// A file is accounts.json, and what it was when this process last read or wrote it.
type file struct {
	name string
	seen fs.FileInfo // nil: it was not there
}

func newFile(dir string) file { return file{name: filepath.Join(dir, "keys", fileName)} }

func (f *file) read() (state, error) {
	s := state{accounts: map[string]record{}}
	info, err := os.Stat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("open the accounts: %w", err)
	}
	if info.Size() > maxFile {
		return s, f.damaged(fmt.Errorf("%d bytes, want at most %d", info.Size(), maxFile))
	}
	text, err := os.ReadFile(f.name)
	if err != nil {
		return s, fmt.Errorf("read the accounts: %w", err)
	}
	var d document
	if err := json.Unmarshal(text, &d, json.RejectUnknownMembers(true)); err != nil {
		return s, f.damaged(errors.New("it is not the JSON that is expected")) // the decoder's words quote the file
	}
	if d.Format != fileFormat {
		return s, f.damaged(fmt.Errorf("format %d, want %d", d.Format, fileFormat))
	}
	if d.FirstRun != nil && len(d.FirstRun) != hashSize {
		return s, f.damaged(errors.New("a first-run code of the wrong length"))
	}
	for i, r := range d.Accounts {
		if err := r.check(); err != nil {
			return s, f.damaged(fmt.Errorf("account %d: %w", i, err))
		}
		if _, twice := s.accounts[r.Name]; twice {
			return s, f.damaged(fmt.Errorf("account %d has the name of another", i))
		}
		s.accounts[r.Name] = r
	}
	s.firstRun, f.seen = d.FirstRun, info
	return s, nil
}

func (f *file) damaged(err error) error {
	return hippad.Errorf(hippad.Unavailable, "%s is damaged: %w", f.name, err).
		WithHint("put a copy of it back, or delete it to begin again without accounts")
}

// write replaces the file. One that somebody else has changed since is left alone, because what was changed there
// would be lost: an account that was disabled would be back.
func (f *file) write(s state) error {
	now, err := os.Stat(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notWritten(err)
	}
	if err == nil && (f.seen == nil || !os.SameFile(now, f.seen) || now.Size() != f.seen.Size() || !now.ModTime().Equal(f.seen.ModTime())) ||
		err != nil && f.seen != nil {
		return hippad.Errorf(hippad.Conflict, "the accounts were changed by another process").WithHint("start the server again")
	}
	d := document{Format: fileFormat, FirstRun: s.firstRun, Accounts: make([]record, 0, len(s.accounts))}
	for _, r := range s.accounts {
		d.Accounts = append(d.Accounts, r)
	}
	sortRecords(d.Accounts)
	text, err := json.Marshal(d, jsontext.WithIndent("\t"))
	if err != nil {
		return notWritten(err)
	}
	if err := durable.WriteFile(f.name, append(text, '\n'), 0o600); err != nil {
		return notWritten(err)
	}
	if f.seen, err = os.Stat(f.name); err != nil {
		return notWritten(err)
	}
	return nil
}

func notWritten(err error) error {
	return &hippad.Error{Kind: hippad.Unavailable, Message: "the accounts cannot be changed now", Cause: fmt.Errorf("write the accounts: %w", err)}
}
