package port

import (
	"errors"
	"strings"
	"testing"
)

// The tables of Windows and macOS, from a fake of the library that reads them.
func TestSystemTable(t *testing.T) {
	rows := []systemRow{
		{state: "LISTEN", local: "0.0.0.0", port: 2988, pid: 812, uid: -1, namesProcess: true},
		{state: "LISTEN", local: "::", port: 2988, ipv6: true, pid: 812, uid: -1, namesProcess: true},
		{state: "LISTEN", local: "0.0.0.0", port: 80, pid: 4, uid: -1, namesProcess: true},
		{state: "LISTEN", local: "*", port: 90, pid: 5, uid: 501, namesProcess: true},
		{state: "LISTEN", local: "*", port: 90, pid: 6, uid: 501, namesProcess: true},
		{state: "ESTABLISHED", local: "10.0.0.1", port: 2988, remotePort: 55555, pid: 812},
		{udp: true, local: "*", port: 53, ipv6: true},
		{udp: true, local: "10.0.0.1", port: 54, remotePort: 53, pid: 812},
		{state: "LISTEN", port: 70000},
	}
	table := systemTable{
		source: "fake", howToSee: "run as administrator",
		rows: func() ([]systemRow, error) { return rows, nil },
		process: func(pid int32) (Process, error) {
			if pid == 4 {
				return Process{}, errors.New("access denied")
			}
			return Process{PID: int(pid), Name: "hippad.exe", User: "HOST\\hippad"}, nil
		},
	}
	v, err := table.view(Want{Owners: true})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range v.Listeners {
		line := l.Transport + " " + strings.Join(l.Reaches(), "+")
		for _, p := range l.Owners {
			line += " " + p.Name
		}
		lines = append(lines, line+"|"+l.Hidden)
	}
	want := `udp [::]:53 (IPv4 through it unless it is IPv6 only: not told)|open, owner hidden; run as administrator
tcp 0.0.0.0:80 |open by process 4, whose name is hidden; run as administrator
tcp 0.0.0.0:90 hippad.exe hippad.exe|
tcp 0.0.0.0:2988 hippad.exe|
tcp [::]:2988 (IPv4 through it unless it is IPv6 only: not told) hippad.exe|`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if v.Complete || !v.AllPorts || !v.Untested || len(v.Hidden) != 1 || !strings.Contains(v.Hidden[0], "1 of 5") {
		t.Errorf("%+v", v)
	}
	// Where only the caller's own sockets are told, an empty table is not an answer.
	table.onlyOwn, table.rows = "listeners of other users; run with sudo", func() ([]systemRow, error) { return rows[:1], nil }
	if v, err = table.view(Want{Ports: []Range{{7, 7}}}); err != nil || v.AllPorts || v.Complete || len(v.Hidden) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	// Nor is one with no socket at all.
	table.onlyOwn, table.rows = "", func() ([]systemRow, error) { return nil, nil }
	if v, err = table.view(Want{}); err != nil || v.AllPorts || v.Complete || len(v.Hidden) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	table.rows = func() ([]systemRow, error) { return nil, errors.New("lsof is not here") }
	if _, err = table.view(Want{}); err == nil || !strings.Contains(err.Error(), "lsof is not here") {
		t.Errorf("%v", err)
	}
}
