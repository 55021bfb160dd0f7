package storetest

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Disk is a file system in memory of which the power can be cut at any moment, also while others write to it.
// vfs.MemFS alone can stop for ever then: its locks are taken in two different orders.
type Disk struct {
	*vfs.MemFS
	power sync.RWMutex // held for reading by everything that changes the disk
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{MemFS: vfs.NewCrashableMem()} }

// Cut returns the disk as it may look after a power cut at this moment.
func (d *Disk) Cut(c vfs.CrashCloneCfg) *Disk {
	d.power.Lock()
	defer d.power.Unlock()
	return &Disk{MemFS: d.MemFS.CrashClone(c)}
}

func (d *Disk) change(f func() error) error {
	d.power.RLock()
	defer d.power.RUnlock()
	return f()
}

func (d *Disk) file(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.change(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.MemFS.Create(name, c) })
}

// OpenDir implements vfs.FS.
func (d *Disk) OpenDir(name string) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.MemFS.OpenDir(name) })
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.MemFS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.MemFS.ReuseForWrite(oldname, newname, c) })
}

// Link implements vfs.FS.
func (d *Disk) Link(oldname, newname string) error {
	return d.change(func() error { return d.MemFS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (d *Disk) Rename(oldname, newname string) error {
	return d.change(func() error { return d.MemFS.Rename(oldname, newname) })
}

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	return d.change(func() error { return d.MemFS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (d *Disk) RemoveAll(name string) error {
	return d.change(func() error { return d.MemFS.RemoveAll(name) })
}

type diskFile struct {
	vfs.File
	disk *Disk
}

func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.disk.change(func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

func (f *diskFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.disk.change(func() error {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

func (f *diskFile) Sync() error { return f.disk.change(f.File.Sync) }

func (f *diskFile) SyncData() error { return f.disk.change(f.File.SyncData) }
