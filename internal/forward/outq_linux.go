package forward

import (
	"net"
	"syscall"
	"unsafe"
)

// unconfirmed returns how many bytes that were written the other machine has not confirmed (tcp(7), SIOCOUTQ).
func unconfirmed(c net.Conn) (int64, bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, false
	}
	var n int32
	var failed syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	return int64(n), err == nil && failed == 0
}
