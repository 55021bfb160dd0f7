package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readLimited reads a file of at most limit bytes.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// overwrite puts zeros over a file's bytes, as well as the disk lets it: nobody relies on it. f may be nil.
func overwrite(f *os.File) {
	if f == nil {
		return
	}
	st, err := f.Stat()
	if err != nil {
		return
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < st.Size(); at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), st.Size()-at)], at); err != nil {
			return
		}
	}
	f.Sync()
}

// wipe overwrites a file and removes it. One that is not there is no error.
func wipe(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		overwrite(f)
		f.Close()
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replace renames a file and overwrites what had the name before.
func replace(from, to string) error {
	old, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err == nil {
		defer old.Close()
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	overwrite(old)
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
