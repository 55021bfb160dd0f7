package traffic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Look reads on from c, of which b has been read already, until the verdict is settled, MaxFirst bytes are there, MaxWait is over, the
// client closes, or ctx ends. It never writes, and does not close c. It returns everything read and how it ended. Who was still adding to
// an unfinished request is a slow client, unless the request is an attempt.
func Look(ctx context.Context, c net.Conn, b []byte) (all []byte, v Verdict, end End) {
	_ = c.SetReadDeadline(time.Now().Add(MaxWait))
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	all = append(make([]byte, 0, MaxFirst), b[:min(len(b), MaxFirst)]...)
	for reads := 0; ; reads++ {
		v = Classify(all)
		switch {
		case len(all) == MaxFirst:
			return all, v, EndFull
		case !v.More:
			return all, v, EndLabelled
		}
		n, err := c.Read(all[len(all):MaxFirst])
		all = all[:len(all)+n]
		if err == nil {
			continue
		}
		v, end = Classify(all), endOf(err)
		if len(all) == 0 && end == EndWaited {
			v = Verdict{Label: Waits, Confidence: Weak}
		}
		if end == EndWaited && v.More && reads > 1 && v.Hypothesis != Exploit && isRequest(v.Label) {
			v.Hypothesis = SlowClient
		}
		return all, v, end
	}
}

// isRequest tells the protocols whose clients say all that they want before they wait.
func isRequest(l Label) bool {
	switch l {
	case TLS, HTTP, HTTPProxy, WebSocket, SIP, RTSP:
		return true
	}
	return false
}

// endOf says what the error of a read means.
func endOf(err error) End {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndWaited
	case errors.Is(err, syscall.ECONNRESET):
		return EndReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return EndClosed
	}
	return EndReset
}

// SilenceOf is the label of a connection on which nothing was said before err.
func SilenceOf(err error) (Label, End) {
	end := endOf(err)
	if end == EndWaited {
		return Waits, end
	}
	return Empty, end
}

// Describe makes a sighting of what was looked at. It keeps of b only the name by which the client calls itself: a digest of a few
// words of a hospital's own application could be guessed at.
func Describe(v Verdict, b []byte, from, local net.Addr) Sighting {
	s := Sighting{Label: v.Label, Confidence: v.Confidence, Hypothesis: v.Hypothesis, Bytes: len(b), Network: "tcp"}
	if local != nil {
		s.Network, s.Port = local.Network(), AddressOf(local).Port()
	}
	at := AddressOf(from)
	s.Source, s.SourcePort = at.Addr(), at.Port()
	if v.Label == TLS && s.Hello == nil {
		s.Hello = ReadHello(b)
	}
	if v.Label == Scrambled {
		s.Evidence = "as many different bytes as random ones have: encrypted, compressed or obfuscated"
	}
	if len(b) > 0 && !v.Label.MayHoldPatientData() {
		s.Client = clientOf(v.Label, b)
	}
	return s
}

// AddressOf is an address and port without zone, IPv4 as IPv4.
func AddressOf(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		at = a.AddrPort()
	case *net.UDPAddr:
		at = a.AddrPort()
	case nil:
	default:
		at, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// clientOf is what programs send as their own name and version.
func clientOf(l Label, b []byte) string {
	switch l {
	case SSH:
		line, _, _ := bytes.Cut(b, []byte("\n"))
		return clean(bytes.TrimRight(line, "\r"), 64)
	case HTTP, HTTPProxy, WebSocket:
		agent := header(b, "user-agent")
		product, _, _ := bytes.Cut(agent, []byte(" "))
		if name := scannerIn(agent); name != "" && scannerIn(product) == "" {
			return clean(product, 48) + " (" + name + ")"
		}
		return clean(product, 64)
	}
	return ""
}

func scannerIn(agent []byte) string {
	for _, s := range scannerNames {
		if containsFold(agent, s) {
			return s
		}
	}
	return ""
}
