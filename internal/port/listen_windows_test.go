package port

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/windows"
)

// What this process listens on is in the system's tables, with this process. Under wine it runs from TestWindowsUnderWine.
func TestListenersOfWindows(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	all, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	udp := bindUDP(t)
	client, err := net.Dial("tcp4", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	v, err := Listeners(Want{Owners: true})
	if err != nil {
		t.Fatal(err)
	}
	find := func(transport, at string) *Listener {
		for i, l := range v.Listeners {
			if l.Transport == transport && netip.AddrPortFrom(l.Address, l.Port).String() == at {
				return &v.Listeners[i]
			}
		}
		return nil
	}
	for _, c := range []struct {
		transport string
		at        string
	}{{"tcp", tcp.Addr().String()}, {"tcp", all.Addr().String()}, {"udp", udp}} {
		l := find(c.transport, c.at)
		if l != nil && len(l.Owners) == 0 && l.Hidden != "" && !v.Complete && os.Getenv("HIPPAD_UNDER_WINE") != "" {
			continue // wine may not know the process of a socket; then that is said
		}
		if l == nil || len(l.Owners) != 1 || l.Owners[0].PID != os.Getpid() || l.Owners[0].Name == "" {
			t.Errorf("%s %s: %+v", c.transport, c.at, l)
		}
	}
	if find("tcp", client.LocalAddr().String()) != nil {
		t.Error("a connection is shown as a listener")
	}
	if !v.Untested || v.Source == "" {
		t.Errorf("%+v", v)
	}
}

// bindUDP binds a UDP socket without package net, which asks wine for something that it has not.
func bindUDP(t *testing.T) string {
	t.Helper()
	s, err := windows.Socket(windows.AF_INET, windows.SOCK_DGRAM, windows.IPPROTO_UDP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = windows.Closesocket(s) })
	if err := windows.Bind(s, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := windows.Getsockname(s)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(at.(*windows.SockaddrInet4).Port)).String()
}
