package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// accounting answers the question that a patient may ask by law.
func (d *demo) accounting() error {
	d.title("What the law asks", "What of Ada Example went out of the house, to whom and why (45 CFR 164.528)? What is unclear would wait for a person to "+
		"decide, a request has its clock, and --format pdf makes the letter. Who used her data inside is hippad access.")
	said, err := d.output(0, "disclosures", demoPatient, "--data", d.path("data"))
	if err == nil && !strings.Contains(said, "State Health Office") {
		err = errors.New("the accounting lacks the disclosure")
	}
	return err
}

// review finds the nurse among those who had a reason.
func (d *demo) review() error {
	d.title("Who looked without a reason?", "A review sets aside what the log explains and scores the rest, in the open. With tables of staff and patients it "+
		"knows who lives where:")
	said, err := d.output(0, "review", "run", "--from", "2026-11-20", "--to", "2026-11-22", "--staff", d.path("messages", "staff.csv"),
		"--patients", d.path("messages", "patients.csv"), "--limit", "3", "--data", d.path("data"))
	if err != nil {
		return err
	}
	finding := ""
	for line := range strings.Lines(said) {
		if words := strings.Fields(line); len(words) > 3 && words[3] == "snoop" {
			finding = words[0]
		}
	}
	if finding == "" {
		return errors.New("the review has not found the nurse")
	}
	d.say("\n")
	if err := d.hippad(0, "review", "show", finding, "--data", d.path("data")); err != nil {
		return err
	}
	d.say("\n   A person judges; the verdict is an entry, and so is the signature under the review.\n\n")
	return d.hippad(0, "review", "judge", finding, "--verdict", "inappropriate", "--reason", "not her ward, no order", "--data", d.path("data"))
}

// strangers come to the port with what belongs to no door.
func (d *demo) strangers() error {
	d.title("Who else comes to this port?", "A browser without TLS, and somebody who takes it for Redis. Neither gets an answer; both get a label. "+
		"What any port is, and who holds it, says hippad port 2988.")
	d.command("curl http://" + d.server.address() + "/")
	if err := d.visit("GET / HTTP/1.1\r\nHost: " + d.server.address() + "\r\nUser-Agent: curl/8.5.0\r\n\r\n"); err != nil {
		return err
	}
	d.command("redis-cli -u redis://" + d.server.address() + " config get dir")
	if err := d.visit("*3\r\n$6\r\nconfig\r\n$3\r\nget\r\n$3\r\ndir\r\n"); err != nil {
		return err
	}
	said, err := d.output(0, "traffic", "--data", d.path("data"))
	if err == nil && !(strings.Contains(said, "redis") && strings.Contains(said, "http")) {
		err = errors.New("somebody was not noticed")
	}
	return err
}

// visit says something to the port without TLS, and waits until the server has closed.
func (d *demo) visit(text string) error {
	dialer := net.Dialer{Timeout: time.Minute}
	conn, err := dialer.DialContext(d.ctx, "tcp", d.server.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	answer, _ := io.ReadAll(conn) // a connection that is reset has no answer either
	if len(answer) > 0 {
		return fmt.Errorf("a stranger got an answer of %d bytes", len(answer))
	}
	return nil
}
