package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
	"unicode/utf16"

	"hippad"
	"hippad/internal/identity"
)

// demoSyslogFile holds what the demo sends over one syslog connection.
const demoSyslogFile = "ward.syslog"

// demoSyslog puts messages into syslog as senders do, the right way and others.
func demoSyslog() []byte {
	var out bytes.Buffer
	message := func(name, host string) string {
		text, err := demoMessages.ReadFile("demo/" + name)
		if err != nil {
			panic(err) // it is part of the program
		}
		return "<85>1 2026-11-20T09:00:00Z " + host + ".hospital.example audit - IHE+RFC-3881 - " + string(bytes.TrimSpace(text))
	}
	query := message("query.xml", "pacs")
	fmt.Fprintf(&out, "%d %s", len(query), query)
	umlauts := message("umlauts.xml", "ward3") // counted in characters instead of octets
	fmt.Fprintf(&out, "%d %s", len(utf16.Encode([]rune(umlauts))), umlauts)
	fmt.Fprintf(&out, "%s\n", message("study.xml", "pacs")) // over several lines, ended by a line feed
	stray, err := demoMessages.ReadFile("demo/stray.txt")
	if err != nil {
		panic(err)
	}
	out.Write(stray)
	truncated := message("truncated.xml", "ward3")
	fmt.Fprintf(&out, "%d %s", len(truncated), truncated)
	return out.Bytes()
}

func (d *demo) reporterTLS() (*tls.Config, error) {
	return identity.ReporterTLS(d.path("ward", "ca.pem"), d.path("ward", "hippad.pem"))
}

func (d *demo) bySyslog() error {
	d.title("Reports by syslog", "DICOM audit messages as hospitals send them: one right; one whose octet count counts characters; "+
		"one pretty-printed and ended by a line feed; a line that belongs to nothing; one cut in the middle.")
	d.command("openssl s_client -quiet -no_ign_eof -CAfile $D/ward/ca.pem -cert $D/ward/hippad.pem -key $D/ward/hippad.pem -connect " + d.server.address() + " < $D/messages/" + demoSyslogFile)
	before := d.server.ledger.Size()
	config, err := d.reporterTLS()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", d.server.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	text, err := os.ReadFile(d.path("messages", demoSyslogFile))
	if err != nil {
		return err
	}
	if _, err := conn.Write(text); err != nil {
		return err
	}
	if err := conn.(*tls.Conn).CloseWrite(); err != nil {
		return err
	}
	// The server closes its side when all of it is in the log.
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return err
	}
	d.show(fmt.Sprintf("%d entries in the log; syslog itself answers nothing\n", d.server.ledger.Size()))
	if want := before + 5; d.server.ledger.Size() != want {
		return fmt.Errorf("the log has %d entries, want %d", d.server.ledger.Size(), want)
	}
	return nil
}

func (d *demo) byFHIR() error {
	d.title("Reports by FHIR", "The answer names the entry and its receipt. What cannot be read is refused with 400, and kept as well.")
	config, err := d.reporterTLS()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for _, post := range []struct {
		file   string
		status int
	}{{"read.json", http.StatusCreated}, {"other.json", http.StatusCreated}, {"broken.json", http.StatusBadRequest}} {
		if post.file != "read.json" {
			d.say("\n")
		}
		url := "https://" + d.server.address() + "/fhir/AuditEvent"
		d.command("curl -i --cacert $D/ward/ca.pem --cert $D/ward/hippad.pem -H 'Content-Type: " + hippad.MediaFHIRJSON + "' --data-binary @$D/messages/" + post.file + " " + url)
		text, err := os.ReadFile(d.path("messages", post.file))
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(d.ctx, http.MethodPost, url, bytes.NewReader(text))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", hippad.MediaFHIRJSON)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		d.show(fmt.Sprintf("%s %s\nlink: %s\n", response.Proto, response.Status, response.Header.Get("Link")))
		if response.StatusCode != post.status || response.Header.Get("Link") == "" {
			return errors.New("not the answer that was expected")
		}
	}
	return nil
}
