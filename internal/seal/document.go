package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What ring.json may be. A ring of 65,536 data keys is one of more than 200 years with 25 classes.
const (
	ringFile    = "ring.json"
	ringFormat  = 1
	maxRing     = 24 << 20
	maxDataKeys = 1 << 16
	maxWrapped  = 4 << 10
	maxClass    = 32
)

// A document is ring.json. docs/store.md describes it.
type document struct {
	Format   int          `json:"format"`
	Master   masterRecord `json:"master"`
	Key      []byte       `json:"key"`      // the ring key, wrapped by the master
	Blinding []byte       `json:"blinding"` // the blinding secret, sealed
	Recorded uint32       `json:"recorded"` // the making of the keys up to this id is in the log
	Keys     keyRecords   `json:"keys"`
	// MAC is HMAC-SHA256, under a key drawn from the ring key, of this document without MAC and Sum: nobody without the
	// master can take a key away or change what one is for. Sum is SHA-256 of this document without Sum: it tells damage
	// from a wrong master before the master is asked.
	MAC []byte `json:"mac,omitempty"`
	Sum []byte `json:"sum,omitempty"`
}

// A keyRecord is one data key. Its id is its place in the list, from 1: so an id is never used twice.
type keyRecord struct {
	ID        uint32    `json:"id"`
	Month     string    `json:"month"` // as in 2026-11
	Class     string    `json:"class"`
	Created   time.Time `json:"created"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	Sealed    []byte    `json:"sealed,omitempty"` // nil when destroyed
}

type keyRecords []keyRecord

// UnmarshalJSONFrom reads the list and stops at its limit: a small file of many empty records would fill the memory.
func (k *keyRecords) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return errors.New("the keys are not a list")
	}
	for *k = nil; d.PeekKind() != ']'; {
		if len(*k) == maxDataKeys {
			return errors.New("too many keys")
		}
		var r keyRecord
		if err := json.UnmarshalDecode(d, &r); err != nil {
			return err
		}
		*k = append(*k, r)
	}
	_, err := d.ReadToken()
	return err
}

// text returns the document as it is written, the form that MAC and Sum are of.
func (d document) text() ([]byte, error) {
	return json.Marshal(d, jsontext.WithIndent("\t"))
}

func (d document) mac(key []byte) ([]byte, error) {
	d.MAC, d.Sum = nil, nil
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, key)
	m.Write(text)
	return m.Sum(nil), nil
}

func (d document) sum() ([]byte, error) {
	d.Sum = nil
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// encode returns the file's bytes.
func (d document) encode(macKey []byte) (data []byte, err error) {
	if d.MAC, err = d.mac(macKey); err != nil {
		return nil, err
	}
	if d.Sum, err = d.sum(); err != nil {
		return nil, err
	}
	if data, err = d.text(); err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// decode reads a file's bytes and checks what can be checked without the master. Its errors quote nothing of the file.
func decode(data []byte) (d document, err error) {
	var head struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(data, &head) != nil {
		return document{}, errors.New("it is not a JSON object")
	}
	if head.Format > ringFormat {
		return document{}, fmt.Errorf("it has format %d, which is newer than this program", head.Format)
	}
	if json.Unmarshal(data, &d, json.RejectUnknownMembers(true)) != nil {
		return document{}, errors.New("it does not have the form of a ring of keys")
	}
	if err := d.check(); err != nil {
		return document{}, err
	}
	if sum, err := d.sum(); err != nil || !bytes.Equal(sum, d.Sum) {
		return document{}, errors.New("its checksum is wrong")
	}
	return d, nil
}

func (d *document) check() error {
	switch {
	case d.Format != ringFormat:
		return errors.New("it has no format number")
	case len(d.Key) == 0 || len(d.Key) > maxWrapped:
		return errors.New("it holds no ring key")
	case len(d.Blinding) != sealedSize:
		return errors.New("it holds no blinding key")
	case int(d.Recorded) > len(d.Keys):
		return errors.New("it counts more keys than it has")
	case len(d.MAC) != sha256.Size:
		return errors.New("it is not authenticated")
	}
	for i := range d.Keys {
		r := &d.Keys[i]
		_, monthOK := parseMonth(r.Month)
		switch {
		case int(r.ID) != i+1:
			return fmt.Errorf("data key %d is not in its place", i+1)
		case !monthOK || !validClass(r.Class) || r.Created.IsZero():
			return fmt.Errorf("data key %d has no valid month, class or time", r.ID)
		case r.Destroyed.IsZero() != (len(r.Sealed) == sealedSize) || !r.Destroyed.IsZero() && len(r.Sealed) > 0:
			return fmt.Errorf("data key %d is neither there nor destroyed", r.ID)
		}
		r.Created, r.Destroyed = r.Created.UTC(), r.Destroyed.UTC()
	}
	return d.Master.check()
}

// monthOf numbers the months: 12 times the year, and the month from 0. Years that do not have four digits have none.
func monthOf(at time.Time) (month int, ok bool) {
	year, m, _ := at.UTC().Date()
	return year*12 + int(m) - 1, year >= 1970 && year <= 9999
}

func monthText(month int) string { return fmt.Sprintf("%04d-%02d", month/12, month%12+1) }

func parseMonth(s string) (int, bool) {
	at, err := time.Parse("2006-01", s)
	if err != nil {
		return 0, false
	}
	month, ok := monthOf(at)
	return month, ok && monthText(month) == s
}

func validClass(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxClass
}
