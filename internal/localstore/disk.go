package localstore

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// patientFS is a file system on which a full disk is not the end of Pebble. Files without which Pebble cannot go on, its
// log and its manifest above all, wait for room. Other files report the error, but not at once: Pebble gives up on what it
// was writing, which makes room, and tries again without a pause of its own.
type patientFS struct {
	vfs.FS
	waits   atomic.Int32
	stopped chan struct{}
	once    sync.Once
}

// retryEvery is how often a write is tried on a full disk.
const retryEvery = 100 * time.Millisecond

func newPatientFS(inner vfs.FS) *patientFS {
	return &patientFS{FS: inner, stopped: make(chan struct{})}
}

// stop ends all waiting: what waits gets its error.
func (d *patientFS) stop() { d.once.Do(func() { close(d.stopped) }) }

// waiting tells whether something waits for room.
func (d *patientFS) waiting() bool { return d.waits.Load() > 0 }

// Unwrap implements vfs.FS.
func (d *patientFS) Unwrap() vfs.FS { return d.FS }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// essential tells whether Pebble stops for good when the file cannot be written.
func (d *patientFS) essential(name string) bool {
	base := d.PathBase(name)
	return strings.HasSuffix(base, ".log") || strings.HasSuffix(base, ".dbtmp") || strings.HasPrefix(base, "MANIFEST") ||
		strings.HasPrefix(base, "marker.") || strings.HasPrefix(base, "CURRENT")
}

// patiently calls f until it succeeds or fails for another reason than a full disk.
func (d *patientFS) patiently(essential bool, f func() error) error {
	err := f()
	if !isFull(err) {
		return err
	}
	d.waits.Add(1)
	defer d.waits.Add(-1)
	for {
		select {
		case <-d.stopped:
			return err
		case <-time.After(retryEvery):
		}
		if !essential {
			return err
		}
		if err = f(); !isFull(err) {
			return err
		}
	}
}

// Create implements vfs.FS.
func (d *patientFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(name, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *patientFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *patientFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(newname, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

// Rename implements vfs.FS.
func (d *patientFS) Rename(oldname, newname string) error {
	return d.patiently(d.essential(newname), func() error { return d.FS.Rename(oldname, newname) })
}

// Link implements vfs.FS.
func (d *patientFS) Link(oldname, newname string) error {
	return d.patiently(d.essential(newname), func() error { return d.FS.Link(oldname, newname) })
}

func (d *patientFS) file(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	essential := d.essential(name)
	err := d.patiently(essential, func() (err error) {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &patientFile{File: f, disk: d, essential: essential}, nil
}

type patientFile struct {
	vfs.File
	disk      *patientFS
	essential bool
}

// Write implements vfs.File. What was written before the disk was full is not written again. A sync that fails is not
// repeated: the operating system may have dropped what it could not write.
func (f *patientFile) Write(p []byte) (int, error) {
	done := 0
	err := f.disk.patiently(f.essential, func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}
