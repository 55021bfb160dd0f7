package seal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/seal"
)

// cheap is a cost for tests: what is drawn is the same at any.
var cheap = seal.Argon2{Memory: 64, Passes: 1, Lanes: 1}

const phrase = "correct horse battery staple"

func saying(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

// filled makes a directory with keys and content sealed under them.
func filled(t testing.TB, dir string, o seal.Options) (*seal.Keys, [][]byte) {
	t.Helper()
	o.Origin = "log.example"
	k := open(t, dir, o)
	var sealed [][]byte
	for _, class := range []string{"a", "b", "c"} {
		_, aead := key(t, k.Ring, november, class)
		sealed = append(sealed, aead.Seal(nil, nil, []byte("the content"), []byte("place")))
	}
	if err := k.Destroy(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	return k, sealed
}

// whole checks that everything that filled has made is there.
func whole(t testing.TB, was, k *seal.Keys, sealed [][]byte) {
	t.Helper()
	opens(t, k.Ring, 1, sealed[0])
	opens(t, k.Ring, 3, sealed[2])
	if _, err := k.OpenKey(2); err != seal.ErrDestroyed {
		t.Errorf("key 2: %v", err)
	}
	if k.Salt(7) != was.Salt(7) || k.VerifierKey != was.VerifierKey || !slices.Equal(k.DataKeys(), was.DataKeys()) {
		t.Error("something has changed")
	}
}

func TestMasterFileElsewhere(t *testing.T) {
	dir, stick := t.TempDir(), filepath.Join(t.TempDir(), "stick", "hippad.key")
	o := seal.Options{Master: seal.MasterConfig{File: stick}}
	k, sealed := filled(t, dir, o)
	if exists(filepath.Join(dir, "master.key")) || !exists(stick) {
		t.Error("the master key is not where it should be")
	}
	whole(t, k, open(t, dir, seal.Options{}), sealed) // ring.json knows where
	whole(t, k, open(t, dir, o), sealed)
	// It is mounted somewhere else today.
	moved := filepath.Join(t.TempDir(), "hippad.key")
	if err := os.Rename(stick, moved); err != nil {
		t.Fatal(err)
	}
	_, err := seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Unavailable, stick, "is gone", "no body can be read", "still verify")
	if _, hint := hippad.Public(err); !strings.Contains(hint, "hippad audit --structure") {
		t.Errorf("hint %q", hint)
	}
	whole(t, k, open(t, dir, seal.Options{Master: seal.MasterConfig{File: moved}}), sealed)
	// Another log's.
	open(t, t.TempDir(), seal.Options{Origin: "other.example", Master: o.Master})
	_, err = seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Unavailable, stick, "is not the master key")
	_, err = seal.Open(t.Context(), dir, seal.Options{Master: seal.MasterConfig{Kind: seal.MasterPassphrase}})
	wantKind(t, err, hippad.Conflict, "another master key: a file")
	if _, hint := hippad.Public(err); !strings.Contains(hint, "hippad key rotate") {
		t.Errorf("hint %q", hint)
	}
}

// A directory of keys moves with its master file.
func TestTheDirectoryMoves(t *testing.T) {
	parent := t.TempDir()
	k, sealed := filled(t, filepath.Join(parent, "a"), seal.Options{})
	if err := os.Rename(filepath.Join(parent, "a"), filepath.Join(parent, "b")); err != nil {
		t.Fatal(err)
	}
	whole(t, k, open(t, filepath.Join(parent, "b"), seal.Options{}), sealed)
}

func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	given := []byte(phrase + "\n")
	o := seal.Options{Master: seal.MasterConfig{Kind: seal.MasterPassphrase, Cost: cheap}, Passphrase: func() ([]byte, error) { return given, nil }}
	k, sealed := filled(t, dir, o)
	if strings.Trim(strings.TrimSuffix(string(given), "\n"), "\x00") != "" {
		t.Error("the passphrase is still in the memory")
	}
	if exists(filepath.Join(dir, "master.key")) || strings.Contains(tree(t, dir), phrase) {
		t.Error("a key is on the disk")
	}
	whole(t, k, open(t, dir, seal.Options{Passphrase: saying(phrase)}), sealed)
	whole(t, k, open(t, dir, seal.Options{Passphrase: saying(phrase + "\r\n"), Master: o.Master}), sealed)
	for _, wrong := range []string{"", "wrong", phrase + " ", strings.ToUpper(phrase)} {
		_, err := seal.Open(t.Context(), dir, seal.Options{Passphrase: saying(wrong)})
		wantKind(t, err, hippad.Unauthorised, "the passphrase does not open", "ring.json")
	}
	_, err := seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Unavailable, "passphrase")
	broken := errors.New("no terminal")
	_, err = seal.Open(t.Context(), dir, seal.Options{Passphrase: func() ([]byte, error) { return nil, broken }})
	wantKind(t, err, hippad.Unavailable)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	_, err = seal.Open(t.Context(), dir, seal.Options{Passphrase: saying(strings.Repeat("x", 2000))})
	wantKind(t, err, hippad.Invalid)
	_, err = seal.Open(t.Context(), dir, seal.Options{Passphrase: saying(phrase), Master: seal.MasterConfig{File: "x"}})
	wantKind(t, err, hippad.Conflict, "passphrase")

	// A damaged ring.json is not a wrong passphrase.
	ring := filepath.Join(dir, "ring.json")
	put(t, ring, strings.Replace(get(t, ring), `"salt": "`, `"salt": "AAAA`, 1))
	_, err = seal.Open(t.Context(), dir, seal.Options{Passphrase: saying(phrase)})
	wantKind(t, err, hippad.Unavailable, "ring.json is damaged")

	for short, want := range map[string]hippad.Kind{"fourteen chars": hippad.Invalid, "": hippad.Invalid, "ffffffffffffff\n": hippad.Invalid} {
		empty := filepath.Join(t.TempDir(), "keys")
		_, err := seal.Open(t.Context(), empty, seal.Options{Origin: "log.example", Master: o.Master, Passphrase: saying(short)})
		wantKind(t, err, want, "too short")
		if exists(empty) {
			t.Error("something was written")
		}
	}
	if _, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example", Master: o.Master, Passphrase: saying("fünfzehn Zeiche")}); err != nil {
		t.Error(err)
	}
	for _, cost := range []seal.Argon2{{Memory: 1 << 30, Passes: 1, Lanes: 1}, {Memory: 64, Passes: 1 << 20, Lanes: 1}, {Memory: 64, Passes: 1, Lanes: 200}, {Memory: 64}, {Memory: 1, Passes: 1, Lanes: 1}} {
		m := seal.MasterConfig{Kind: seal.MasterPassphrase, Cost: cost}
		_, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example", Master: m, Passphrase: saying(phrase)})
		wantKind(t, err, hippad.Invalid)
	}
}

// The cost that is used when none is given opens too.
func TestPassphraseAtItsRealCost(t *testing.T) {
	dir := t.TempDir()
	o := seal.Options{Master: seal.MasterConfig{Kind: seal.MasterPassphrase}, Passphrase: saying(phrase)}
	k, sealed := filled(t, dir, o)
	whole(t, k, open(t, dir, seal.Options{Passphrase: saying(phrase)}), sealed)
	if text := get(t, filepath.Join(dir, "ring.json")); !strings.Contains(text, `"memoryKiB": 65536`) {
		t.Error(text)
	}
}

func TestUnknownMaster(t *testing.T) {
	_, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example", Master: seal.MasterConfig{Kind: "tpm"}})
	wantKind(t, err, hippad.Invalid, "tpm")
}

func TestRotate(t *testing.T) {
	dir := t.TempDir()
	ring, inside, stick := filepath.Join(dir, "ring.json"), filepath.Join(dir, "master.key"), filepath.Join(t.TempDir(), "stick.key")
	var uses []seal.KeyUse
	var refuse error
	k, sealed := filled(t, dir, seal.Options{Used: func(_ context.Context, u seal.KeyUse) error {
		uses = append(uses, u)
		return refuse
	}})
	old, oldMaster := t.TempDir(), get(t, inside)
	for _, f := range []string{"ring.json", "log.key"} {
		put(t, filepath.Join(old, f), get(t, filepath.Join(dir, f)))
	}
	before, _ := k.SealBytes("x", []byte("y"))

	uses, refuse = nil, errors.New("the log is full")
	text := tree(t, dir)
	if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); !errors.Is(err, refuse) || tree(t, dir) != text {
		t.Errorf("%v; or something has changed", err)
	}
	refuse = nil
	if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	whole(t, k, k, sealed)
	whole(t, k, open(t, dir, seal.Options{}), sealed)
	if len(uses) != 2 || uses[1] != (seal.KeyUse{What: seal.UseRotated, Master: "file " + inside}) {
		t.Errorf("%+v", uses)
	}
	if get(t, inside) == oldMaster || exists(inside+".new") {
		t.Error("the master key is the old one")
	}
	// The old copy of the ring, with the new master, is of no use; nor the new ring with the old master.
	put(t, filepath.Join(old, "master.key"), get(t, inside))
	_, err := seal.Open(t.Context(), old, seal.Options{})
	wantKind(t, err, hippad.Unavailable, "is not the master key")
	if _, err := k.OpenBytes("x", before); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("what was sealed before opens with the new ring: %v", err)
	}
	newMaster := get(t, inside)
	put(t, inside, oldMaster)
	_, err = seal.Open(t.Context(), dir, seal.Options{})
	wantKind(t, err, hippad.Unavailable, "is not the master key")
	put(t, inside, newMaster)

	// From here to everywhere and back, with a key made after each.
	for i, to := range []seal.MasterConfig{
		{File: stick}, {File: stick}, {}, {Kind: seal.MasterPassphrase, Cost: cheap}, {Kind: seal.MasterPassphrase, Cost: cheap}, {}, {Kind: seal.MasterFile}, {},
	} {
		words := saying(phrase + strings.Repeat("!", i))
		if err := k.Rotate(t.Context(), to, words, nil); err != nil {
			t.Fatal(i, err)
		}
		if _, _, err := k.SealKey(november.AddDate(0, i+1, 0), "a"); err != nil {
			t.Fatal(i, err)
		}
		whole(t, k, k, sealed)
		whole(t, k, open(t, dir, seal.Options{Passphrase: words}), sealed)
		if strings.HasPrefix(k.Master(), "file ") != (exists(inside) || exists(stick)) || exists(inside) && exists(stick) {
			t.Errorf("%d: %s, but %v, %v", i, k.Master(), exists(inside), exists(stick))
		}
	}
	text = get(t, ring)
	wantKind(t, k.Rotate(t.Context(), seal.MasterConfig{Kind: seal.MasterPassphrase}, saying("short"), nil), hippad.Invalid)
	wantKind(t, k.Rotate(t.Context(), seal.MasterConfig{Kind: seal.MasterPassphrase}, nil, nil), hippad.Unavailable)
	put(t, stick, "somebody else's\n")
	if err := k.Rotate(t.Context(), seal.MasterConfig{File: stick}, nil, nil); err == nil || get(t, stick) != "somebody else's\n" {
		t.Errorf("a foreign file is overwritten: %v", err)
	}
	put(t, stick, oldMaster)
	wantKind(t, k.Rotate(t.Context(), seal.MasterConfig{File: stick}, nil, nil), hippad.Conflict, "is there already")
	if get(t, ring) != text || get(t, stick) != oldMaster {
		t.Error("a refused rotation has changed something")
	}
	wantKind(t, open(t, dir, seal.Options{ReadOnly: true}).Rotate(t.Context(), seal.MasterConfig{}, nil, nil), hippad.Conflict)
}

// Every state that a crash in Rotate can leave opens, and the next start ends what was begun.
func TestCrashesInRotate(t *testing.T) {
	for name, to := range map[string]string{"same place": "", "other place": "stick.key"} {
		t.Run(name, func(t *testing.T) {
			elsewhere := t.TempDir()
			config := seal.MasterConfig{}
			if to != "" {
				config.File = filepath.Join(elsewhere, to)
			}
			dir := t.TempDir()
			was, sealed := filled(t, dir, seal.Options{})
			inside := filepath.Join(dir, "master.key")
			oldRing, oldMaster := get(t, filepath.Join(dir, "ring.json")), get(t, inside)
			if err := was.Rotate(t.Context(), config, nil, nil); err != nil {
				t.Fatal(err)
			}
			place := inside
			if to != "" {
				place = config.File
			}
			newRing, newMaster := get(t, filepath.Join(dir, "ring.json")), get(t, place)
			state := func(ring, master, placed, staged string) {
				put(t, filepath.Join(dir, "ring.json"), ring)
				for f, text := range map[string]string{inside: master, place: placed, place + ".new": staged} {
					if os.Remove(f); text != "" {
						put(t, f, text)
					}
				}
			}
			before := "" // what is at the new place before the change
			if to == "" {
				before = oldMaster
			}
			for _, s := range []struct {
				what                         string
				ring, master, placed, staged string
				after                        string // where the ring's master then is
				left                         int    // master files then
			}{
				{"new master staged, ring not written", oldRing, oldMaster, before, newMaster, inside, 1},
				{"ring written, master not renamed", newRing, oldMaster, before, newMaster, place, 1},
				{"renamed, old file not removed", newRing, oldMaster, newMaster, "", place, 1},
			} {
				if to == "" {
					s.master = s.placed // one and the same file
				}
				state(s.ring, s.master, s.placed, s.staged)
				if s.ring == oldRing && to != "" {
					// The old ring does not know of the other place: what was staged there is not its own to remove.
					s.left = 2
				}
				text := tree(t, dir)
				whole(t, was, open(t, dir, seal.Options{ReadOnly: true}), sealed)
				if tree(t, dir) != text {
					t.Errorf("%s: opening for reading has changed something", s.what)
				}
				for range 2 {
					whole(t, was, open(t, dir, seal.Options{}), sealed)
				}
				left := 0
				for f := range map[string]bool{inside: true, place: true, inside + ".new": true, place + ".new": true} {
					if exists(f) {
						left++
					}
				}
				if !exists(s.after) || left != s.left {
					t.Errorf("%s: %d master files are left, want %d; %s exists: %v", s.what, left, s.left, s.after, exists(s.after))
				}
				// And the rotation can be done again.
				k := open(t, dir, seal.Options{})
				if err := k.Rotate(t.Context(), config, nil, nil); err != nil {
					t.Errorf("%s: %v", s.what, err)
				}
				whole(t, was, open(t, dir, seal.Options{}), sealed)
				if exists(place + ".new") {
					t.Errorf("%s: a master file is left over", s.what)
				}
			}
		})
	}
}

// A new master file that cannot get its name yet is not written over by the next rotation: it is the only one that opens the ring.
func TestRotateThatCannotRename(t *testing.T) {
	dir := t.TempDir()
	k, sealed := filled(t, dir, seal.Options{})
	inside := filepath.Join(dir, "master.key")
	os.Remove(inside)
	if err := os.MkdirAll(filepath.Join(inside, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); err == nil || !strings.Contains(err.Error(), "not renamed yet") {
			t.Error(err)
		}
		whole(t, k, open(t, dir, seal.Options{ReadOnly: true}), sealed)
	}
	os.RemoveAll(inside)
	if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); err != nil {
		t.Error(err)
	}
	whole(t, k, open(t, dir, seal.Options{}), sealed)
	if !exists(inside) || exists(inside+".new") {
		t.Error("the file is not renamed")
	}

	// A link to the file is read, as those of mounted secrets are, and not replaced.
	safe := filepath.Join(t.TempDir(), "real.key")
	if err := errors.Join(os.Rename(inside, safe), os.Symlink(safe, inside)); err != nil {
		t.Fatal(err)
	}
	k = open(t, dir, seal.Options{})
	wantKind(t, k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil), hippad.Invalid, "symbolic link")
	whole(t, k, open(t, dir, seal.Options{}), sealed)
}

// A clock without a date makes no key, rather than a ring that is not read again.
func TestClockWithoutDate(t *testing.T) {
	dir := t.TempDir()
	now := time.Time{}
	k := open(t, dir, seal.Options{Origin: "log.example", Now: func() time.Time { return now }})
	if _, _, err := k.SealKey(november, "a"); err == nil || !strings.Contains(err.Error(), "would not be read again") {
		t.Error(err)
	}
	now = november
	key(t, k.Ring, november, "a")
	open(t, dir, seal.Options{})
}

// What a crash leaves of a first start: before ring.json the next start begins again; after it, log.key is wanted, because
// a log that has signed something may not get a new one unasked.
func TestCrashesInCreate(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, named)
	ring, master := get(t, filepath.Join(dir, "ring.json")), get(t, filepath.Join(dir, "master.key"))
	for name, files := range map[string]map[string]string{
		"nothing":             {},
		"half a master":       {"master.key.new.new-77": "hippad-mas"},
		"staged":              {"master.key.new": master},
		"half a ring":         {"master.key.new": master, "ring.json.new-77": ring[:100]},
		"an operator's":       {"master.key": master},
		"an old one besides":  {"master.key": master, "master.key.new": "x"},
		"half a log.key":      {"log.key.new-77": "PRIVATE"},
		"half a version 1":    {"blind.key.new-77": "hippad"},
		"no keys but of TLS ": {"ca.pem": "x"},
	} {
		dir := t.TempDir()
		for f, text := range files {
			put(t, filepath.Join(dir, f), text)
		}
		a := open(t, dir, named)
		b := open(t, dir, named)
		if a.VerifierKey != b.VerifierKey || files["master.key"] != "" && get(t, filepath.Join(dir, "master.key")) != master {
			t.Errorf("%s: the keys did not last", name)
		}
		for _, f := range []string{"master.key.new.new-77", "master.key.new", "ring.json.new-77", "log.key.new-77"} {
			if exists(filepath.Join(dir, f)) {
				t.Errorf("%s: %s is left over", name, f)
			}
		}
	}
	for _, files := range []map[string]string{{"ring.json": ring, "master.key.new": master}, {"ring.json": ring, "master.key": master}} {
		dir := t.TempDir()
		for f, text := range files {
			put(t, filepath.Join(dir, f), text)
		}
		_, err := seal.Open(t.Context(), dir, named)
		wantKind(t, err, hippad.Unavailable, "log.key")
		if _, hint := hippad.Public(err); !strings.Contains(hint, "delete "+filepath.Join(dir, "ring.json")) {
			t.Errorf("hint %q", hint)
		}
		os.Remove(filepath.Join(dir, "ring.json")) // what the hint says
		open(t, dir, named)
	}
	_, err := seal.Open(t.Context(), putMaster(t, "damaged"), named)
	wantKind(t, err, hippad.Unavailable, "master.key is damaged")
}

func putMaster(t *testing.T, text string) string {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "master.key"), text)
	return dir
}
