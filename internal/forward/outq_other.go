//go:build !linux

package forward

import "net"

// unconfirmed does not know: what was written counts when the connection has lived on for a while.
func unconfirmed(net.Conn) (int64, bool) { return 0, false }
