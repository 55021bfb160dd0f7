//go:build !linux

package port

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// Listeners returns who listens on this machine, as far as the caller may see. The error is for a machine that tells nothing at all.
func Listeners(want Want) (View, error) {
	t := systemTable{source: "gopsutil", rows: gopsutilRows, process: gopsutilProcess, howToSee: "run with sudo"}
	switch runtime.GOOS {
	case "windows":
		t.source, t.howToSee = "GetExtendedTcpTable and GetExtendedUdpTable", "run as administrator"
	case "darwin":
		t.source = "lsof"
	}
	if runtime.GOOS != "windows" && os.Geteuid() != 0 {
		t.onlyOwn = "listeners of other users; run with sudo"
	}
	return t.view(want)
}

func gopsutilRows() (out []systemRow, err error) {
	rows, err := net.Connections("inet") // the variant without user ids is for Linux alone
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		out = append(out, systemRow{
			udp: r.Type == syscall.SOCK_DGRAM, state: r.Status, local: r.Laddr.IP, port: r.Laddr.Port, remotePort: r.Raddr.Port,
			ipv6: r.Family == syscall.AF_INET6, pid: r.Pid, uid: -1, namesProcess: r.Pid > 0,
		})
	}
	return out, nil
}

func gopsutilProcess(pid int32) (Process, error) {
	p, err := process.NewProcess(pid)
	if err != nil {
		return Process{}, err
	}
	out := Process{PID: int(pid)}
	if out.Name, err = p.Name(); err != nil {
		return Process{}, err
	}
	// The rest is told less freely, and is left out where it is not.
	if name, err := p.Username(); err == nil {
		out.User = name
	}
	if ms, err := p.CreateTime(); err == nil {
		out.Started = time.UnixMilli(ms).UTC().Truncate(time.Second)
	}
	return out, nil
}
