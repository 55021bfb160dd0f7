//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package seal

import (
	"errors"
	"os"
	"syscall"
	"time"

	"hippad"
)

// lock keeps other programs from writing in a key directory until unlock is called. It is held while files are written and
// no longer, so waiting for it is short: after five seconds it is kind Busy. A file system that has no locks is written to
// without one: then only the comparison in write stands between two programs.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for range 500 {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return func() { d.Close() }, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.Close()
	return nil, hippad.Errorf(hippad.Busy, "another program is writing in %s", dir)
}
