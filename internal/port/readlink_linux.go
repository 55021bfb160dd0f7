package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readlinkat is readlinkat(2) of a name that ends with a zero byte already: a walk through ten thousand descriptors makes no
// garbage. It returns -1 for what is no link, or gone.
func readlinkat(dir int, name, into []byte) int {
	n, _, errno := syscall.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)), 0, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}
