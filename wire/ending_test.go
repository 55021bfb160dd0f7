package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

// A server that shuts down answers what it has read, and the client learns why the rest is not answered.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{}, log, ClientOptions{Stream: testStream})
		first, err := c.Record(context.Background(), numbered(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		synctest.Wait()
		second, err := c.Record(context.Background(), numbered(2, 2))
		if err != nil {
			t.Fatal(err)
		}
		close(log.gate)
		if _, err := first(context.Background()); err != nil {
			t.Errorf("the frame that had been read: %v", err)
		}
		_, err = second(context.Background())
		wantKind(t, err, hippad.Unavailable)
		if !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the reason is missing: %v", err)
		}
		if err := s.wait(); err != nil {
			t.Error(err)
		}
		_, err = c.Record(context.Background(), numbered(2, 2))
		wantKind(t, err, hippad.Unavailable)
	})
}

// Close lets what is on its way be acknowledged.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{}, log, ClientOptions{})
		wait, err := c.Record(context.Background(), plain("x"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { close(log.gate) })
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInternalErrorEndsConnection(t *testing.T) {
	secret := errors.New("bug with a cause that nobody outside may see")
	for _, early := range []bool{true, false} {
		log := &fakeLog{record: func(int, hippad.Frame) (error, error) {
			if early {
				return secret, nil
			}
			return nil, secret
		}}
		c, s := dial(t, &Server{Log: discard()}, log, ClientOptions{})
		_, err := record(c, plain("x"))
		wantKind(t, err, hippad.Unavailable)
		if strings.Contains(err.Error(), "bug") {
			t.Errorf("the cause left the process: %v", err)
		}
		if err := s.wait(); !errors.Is(err, secret) {
			t.Errorf("ServeConn returned %v", err)
		}
	}
}

// The deadlines: HELLO, silence, a client that keeps alive, a server that is gone.
func TestDeadlines(t *testing.T) {
	t.Run("hello", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{}, far, &fakeLog{})
			near.Write([]byte(Magic))
			go io.Copy(io.Discard, near)
			start := time.Now()
			if err := s.wait(); err != errSilence {
				t.Errorf("ended with %v", err)
			}
			if d := time.Since(start); d < helloWithin || d > helloWithin+linger {
				t.Errorf("took %v", d)
			}
		})
	})
	t.Run("silence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{Idle: time.Minute}, far, &fakeLog{})
			near.Write(greeting(testStream))
			var last bye
			go func() {
				for in := newFrameReader(near); ; {
					ty, n, err := in.header()
					if err != nil {
						return
					}
					p, _ := in.payload(n)
					if m, err := parse(ty, p); err == nil && ty == typeBye {
						last = m.(bye)
					}
				}
			}()
			if err := s.wait(); err != errSilence {
				t.Errorf("ended with %v", err)
			}
			synctest.Wait()
			if last.status.code != codeTimeout {
				t.Errorf("said %+v", last)
			}
		})
	})
	t.Run("kept alive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := dial(t, &Server{Idle: time.Minute}, &fakeLog{}, ClientOptions{})
			time.Sleep(time.Hour)
			if _, err := record(c, plain("x")); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("server gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				in := newFrameReader(far)
				in.payload(int64(len(greeting(hippad.StreamID{}))))
				far.Write(appendFrame(nil, saneWelcome()))
				io.Copy(io.Discard, in.r) // reads, and never answers
			}()
			c, err := NewClient(context.Background(), near, ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = record(c, plain("x"))
			wantKind(t, err, hippad.Unavailable)
			far.Close()
		})
	})
	t.Run("client does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{}, far, &fakeLog{})
			near.Write(greeting(testStream))
			if err := s.wait(); err == nil {
				t.Error("ended well")
			}
			near.Close()
		})
	})
	t.Run("no welcome", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			_, err := NewClient(context.Background(), near, ClientOptions{})
			wantKind(t, err, hippad.Unavailable)
			far.Close()
		})
	})
}

// The log answers late but within the grace of a shutdown, or never.
func TestShutdownGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{Log: discard()}, log, ClientOptions{})
		wait, err := c.Record(context.Background(), plain("x"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		_, err = wait(context.Background())
		wantKind(t, err, hippad.Unavailable)
		if err := s.wait(); err != nil {
			t.Error(err)
		}
	})
}

// Over TCP and TLS, with ALPN, and a shutdown while the client is sending: no answer is destroyed by a reset.
func TestTLS(t *testing.T) {
	config, pool := testCertificate(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	log := &fakeLog{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- (&Server{}).ServeConn(ctx, conn, log)
	}()
	c, err := Dial(context.Background(), ln.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"}, ClientOptions{Stream: testStream})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != ALPN {
		t.Errorf("ALPN %q", p)
	}
	acked := 0
	results := make(chan hippad.Wait, 10000)
	go func() {
		defer close(results)
		for n := uint64(1); ; n++ {
			wait, err := c.Record(context.Background(), numbered(n, n))
			if err != nil {
				return
			}
			results <- wait
		}
	}()
	for wait := range results {
		if _, err := wait(context.Background()); err == nil {
			acked++
		}
		if acked == 500 {
			cancel()
		}
	}
	if err := <-done; err != nil {
		t.Errorf("server: %v", err)
	}
	if stored := len(log.bodies()); stored != acked || acked < 500 {
		t.Errorf("%d stored, %d acknowledged", stored, acked)
	}
	_, err = Dial(context.Background(), "127.0.0.1:1", nil, ClientOptions{})
	wantKind(t, err, hippad.Unavailable)
}

func testCertificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{ALPN}}, pool
}
