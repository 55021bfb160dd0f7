package port

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is also what the tests start: a process that listens, and one that looks.
func TestMain(m *testing.M) {
	switch os.Getenv("HIPPAD_PORT_TEST") {
	case "listen":
		listenAndWait()
		return
	case "look":
		v, err := Listeners(Want{Owners: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// listenAndWait opens a listener of every kind, prints their ports, and lives until its stdin ends.
func listenAndWait() {
	ctx := context.Background()
	var ports []string
	for _, l := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1:0"}, {"tcp4", "0.0.0.0:0"}, {"tcp6", "[::1]:0"}, {"tcp6", "[::]:0"}, {"tcp", "[::]:0"},
		{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}, {"udp", "[::]:0"},
	} {
		if strings.HasPrefix(l.network, "udp") {
			c, err := (&net.ListenConfig{}).ListenPacket(ctx, l.network, l.address)
			if err == nil {
				ports = append(ports, fmt.Sprintf("udp %s", c.LocalAddr()))
			}
			continue
		}
		c, err := (&net.ListenConfig{}).Listen(ctx, l.network, l.address)
		if err == nil {
			ports = append(ports, fmt.Sprintf("tcp %s", c.Addr()))
		}
	}
	fmt.Println(strings.Join(ports, ","))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// start runs the test binary as a listener, under other programs if any are named, and returns its process and what it listens on.
func start(t *testing.T, under ...string) (*exec.Cmd, []string) {
	t.Helper()
	args := append(under, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HIPPAD_PORT_TEST=listen")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return cmd, nil
	}
	return cmd, strings.Split(strings.TrimSpace(line), ",")
}

// reusePort opens a TCP listener that shares its port.
func reusePort(t *testing.T, address string) net.Listener {
	t.Helper()
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
			return e
		}
		return err
	}}
	l, err := c.Listen(t.Context(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func have(t *testing.T, program, pack string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path := filepath.Join(dir, program); unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	if os.Getenv("HIPPAD_TEST_COMPLETE") != "" {
		t.Fatalf("%s is not here (package %s)", program, pack)
	}
	t.Skipf("%s is not here (package %s)", program, pack)
	return ""
}

var ssUser = regexp.MustCompile(`pid=(\d+)`)

// ssListeners is what ss shows: transport, address, port, and the processes, one line a socket.
func ssListeners(t *testing.T, ss string, under ...string) []string {
	t.Helper()
	args := append(under, ss, "-H", "-tulpn")
	text, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("ss: %v", err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Fields(line)
		if len(cells) < 6 {
			t.Fatalf("ss: %q", line)
		}
		i := strings.LastIndexByte(cells[4], ':')
		address, dev, _ := strings.Cut(strings.Trim(cells[4][:i], "[]"), "%")
		if dev != "" && strings.Contains(address, "]") {
			address = strings.Trim(address, "[]")
		}
		number := cells[4][i+1:]
		if address == "*" { // dual stack
			address = "*"
		}
		var pids []string
		for _, m := range ssUser.FindAllStringSubmatch(line, -1) {
			pids = append(pids, m[1])
		}
		slices.Sort(pids)
		out = append(out, fmt.Sprintf("%s %s %s %v", cells[0], strings.Trim(address, "[]"), number, slices.Compact(pids)))
	}
	slices.Sort(out)
	return out
}

// asSS writes a view of one namespace as ssListeners does.
func asSS(v View, namespace func(Listener) bool) []string {
	var out []string
	for _, l := range v.Listeners {
		if !namespace(l) {
			continue
		}
		address := l.Address.String()
		if l.DualStack != nil && *l.DualStack && l.Address.IsUnspecified() {
			address = "*"
		}
		var pids []string
		for _, p := range l.Owners {
			pids = append(pids, strconv.Itoa(p.PID))
		}
		slices.Sort(pids)
		out = append(out, fmt.Sprintf("%s %s %d %v", l.Transport, address, l.Port, pids))
	}
	slices.Sort(out)
	return out
}

func own(l Listener) bool { return l.Namespace == "" }

// settle looks until what two ways of looking show is equal: other programs of this machine open and close sockets between the two.
func settle(look func() (a, b []string)) (a, b []string) {
	for range 100 {
		if a, b = look(); slices.Equal(a, b) {
			break
		}
	}
	return a, b
}

// of are the listeners of a view that a process has: others of this machine may have got the same port on another address, or of UDP.
func of(v View, pid int) (out []Listener) {
	for _, l := range v.Listeners {
		if slices.ContainsFunc(l.Owners, func(p Process) bool { return p.PID == pid }) {
			out = append(out, l)
		}
	}
	return out
}

// Every listener of this machine is the one that ss shows, with the same processes.
func TestListenersAgreeWithSS(t *testing.T) {
	ss := have(t, "ss", "iproute2")
	child, listening := start(t)
	shared := reusePort(t, "127.0.0.1:0")
	reusePort(t, shared.Addr().String())
	connected, err := net.Dial("tcp", shared.Addr().String()) // a connection is no listener
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	client, err := net.Dial("udp", "127.0.0.1:9") // nor is a socket that is connected
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if len(listening) < 6 {
		t.Errorf("only %v could be opened", listening)
	}
	var v View
	ours, theirs := settle(func() (_, _ []string) {
		var err error
		if v, err = Listeners(Want{Owners: true}); err != nil {
			t.Fatal(err)
		}
		if v.Source != "sock_diag" {
			t.Fatalf("source %s", v.Source)
		}
		return asSS(v, own), ssListeners(t, ss)
	})
	if !slices.Equal(ours, theirs) {
		t.Fatalf("ours:\n%s\nss:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
	at := func(l Listener) string {
		return fmt.Sprintf("%s %s", l.Transport, netip.AddrPortFrom(l.Address, l.Port))
	}
	mine := of(v, os.Getpid())
	if n := len(slices.DeleteFunc(slices.Clone(mine), func(l Listener) bool { return at(l) != "tcp "+shared.Addr().String() })); n != 2 {
		t.Errorf("%d listeners share %s, want 2", n, shared.Addr())
	}
	if slices.ContainsFunc(mine, func(l Listener) bool { return at(l) == "udp "+client.LocalAddr().String() }) {
		t.Error("a connected socket is shown as a listener")
	}
	var got []string
	for _, l := range of(v, child.Process.Pid) {
		got = append(got, at(l))
	}
	slices.Sort(got)
	slices.Sort(listening)
	if !slices.Equal(got, listening) {
		t.Errorf("of the process %v are seen, want %v", got, listening)
	}
}

// Two processes that share a port are both shown, and so are two that share one socket.
func TestSharedOwners(t *testing.T) {
	l := reusePort(t, "127.0.0.1:0")
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HIPPAD_PORT_TEST=listen")
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	n := l.Addr().(*net.TCPAddr).AddrPort().Port()
	v, err := Listeners(Want{Ports: []Range{{n, n}}, Owners: true})
	mine := of(v, os.Getpid())
	if err != nil || len(mine) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	var pids []int
	for _, p := range mine[0].Owners {
		pids = append(pids, p.PID)
		if p.Name == "" || p.Started.IsZero() || p.User == "" {
			t.Errorf("%+v", p)
		}
	}
	want := []int{os.Getpid(), cmd.Process.Pid}
	slices.Sort(want)
	if !slices.Equal(pids, want) {
		t.Errorf("owners %v, want %v", pids, want)
	}
}

// A dual-stack socket is told from one that takes IPv6 alone.
func TestDualStack(t *testing.T) {
	for network, want := range map[string]bool{"tcp": true, "tcp6": false} {
		l, err := net.Listen(network, "[::]:0")
		if err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		defer l.Close()
		n := uint16(l.Addr().(*net.TCPAddr).Port)
		v, err := Listeners(Want{Ports: []Range{{n, n}}, Owners: true})
		mine := of(v, os.Getpid())
		if err != nil || len(mine) != 1 || mine[0].DualStack == nil || *mine[0].DualStack != want {
			t.Fatalf("%s: %+v, %v", network, v, err)
		}
		if got := mine[0].Reaches(); len(got) != 2 && want || len(got) != 1 && !want {
			t.Errorf("%s: %v", network, got)
		}
	}
}

// What a process in another network namespace listens on is found, and is what ss shows there.
func TestOtherNamespace(t *testing.T) {
	unshare, ss := have(t, "unshare", "util-linux"), have(t, "ss", "iproute2")
	if err := exec.Command(unshare, "--net", "true").Run(); err != nil {
		t.Skipf("no network namespace may be made here: %v", err)
	}
	cmd, listening := start(t, unshare, "--net")
	if len(listening) == 0 {
		t.Skip("nothing can listen in a new namespace here: its loopback interface is down")
	}
	pid := cmd.Process.Pid
	v, err := Listeners(Want{Owners: true})
	if err != nil {
		t.Fatal(err)
	}
	there := func(l Listener) bool { return strings.Contains(l.Namespace, fmt.Sprintf("of process %d", pid)) }
	ours := asSS(v, there)
	if len(ours) != len(listening) {
		t.Fatalf("%v, want %v", ours, listening)
	}
	for _, l := range v.Listeners {
		if there(l) && (len(l.Owners) != 1 || l.Owners[0].PID != pid) {
			t.Errorf("%+v", l)
		}
	}
	if nsenter := have(t, "nsenter", "util-linux"); nsenter != "" {
		theirs := ssListeners(t, ss, nsenter, "--net=/proc/"+strconv.Itoa(pid)+"/ns/net")
		// /proc does not tell dual stack, so :: stands for *.
		for i := range theirs {
			theirs[i] = strings.Replace(theirs[i], " * ", " :: ", 1)
		}
		slices.Sort(theirs)
		if !slices.Equal(ours, theirs) {
			t.Errorf("ours:\n%s\nss:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
		}
	}
}

// Somebody without rights sees that a port of another user is open, and is told that its owner is hidden: never that it is closed.
func TestOwnerHiddenFromNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become nobody")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := uint16(l.Addr().(*net.TCPAddr).Port)
	// The test binary lies where only root may read; nobody gets a copy.
	dir, err := os.MkdirTemp("/tmp", "hippad-port")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "look"), text, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	as := func(t *testing.T, cmd *exec.Cmd) []byte {
		t.Helper()
		cmd.Dir = dir
		cmd.Env = []string{"HIPPAD_PORT_TEST=look", "PATH=" + os.Getenv("PATH")}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Run("plain", func(t *testing.T) {
		cmd := exec.Command(filepath.Join(dir, "look"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		seesNoOwner(t, n, as(t, cmd))
	})
	t.Run("with a /proc that hides what others run", func(t *testing.T) {
		have(t, "setpriv", "util-linux")
		script := "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups ./look"
		if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
			t.Skip("a mount namespace cannot be made here:", err)
		}
		seesNoOwner(t, n, as(t, exec.Command("unshare", "-m", "sh", "-c", script)))
	})
}

// seesNoOwner checks that a port is shown as open, and that sudo would show its owner.
func seesNoOwner(t *testing.T, n uint16, out []byte) {
	t.Helper()
	var v View
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(v.Listeners, func(l Listener) bool { return l.Transport == "tcp" && l.Port == n && l.Address.IsLoopback() })
	if i < 0 {
		t.Fatalf("nobody does not see port %d: %s", n, out)
	}
	got := v.Listeners[i]
	if len(got.Owners) != 0 || !strings.Contains(got.Hidden, "open, owner hidden (uid 0") || !strings.Contains(got.Hidden, "sudo") || v.Complete ||
		!strings.Contains(v.Hidden[len(v.Hidden)-1], "listeners; run with sudo") {
		t.Errorf("%+v, complete %v, hidden %q", got, v.Complete, v.Hidden)
	}
}

// Without sock_diag the tables of /proc say the same, but for what they do not tell.
func TestProcFallbackAgrees(t *testing.T) {
	_, listening := start(t)
	refused := func(Want) ([]Listener, error) { return nil, unix.EPROTONOSUPPORT }
	compare := func(v View) (out []string) {
		for _, l := range v.Listeners {
			if own(l) {
				out = append(out, fmt.Sprint(l.Transport, l.Address, l.Port, *l.UID, l.Owners))
			}
		}
		return out
	}
	a, b := settle(func() (_, _ []string) {
		with, err := Listeners(Want{Owners: true})
		if err != nil {
			t.Fatal(err)
		}
		without, err := look(proc{"/proc"}, refused, Want{Owners: true})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(without.Source, "/proc/net, because") {
			t.Errorf("source %q", without.Source)
		}
		return compare(with), compare(without)
	})
	if !slices.Equal(a, b) || len(a) < len(listening) {
		t.Errorf("sock_diag:\n%s\n/proc:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// A machine that tells nothing gives an error, and one that tells little gives what it tells and says what is missing: neither is an
// empty list.
func TestNothingToldIsNotNothing(t *testing.T) {
	refused := func(Want) ([]Listener, error) { return nil, unix.EPERM }
	none := func(Want) ([]Listener, error) { return nil, nil }
	if v, err := look(proc{t.TempDir()}, refused, Want{}); err == nil {
		t.Errorf("%+v", v)
	}
	// A /proc that cannot be read: the sockets of this namespace are known, all else is not.
	v, err := look(proc{filepath.Join(t.TempDir(), "absent")}, none, Want{})
	if err != nil || v.AllPorts || v.Complete || len(v.Hidden) == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	// One that shows the caller's own processes only (hidepid).
	root := t.TempDir()
	lay(t, root, "self", "")
	lay(t, root, "4711", "")
	v, err = look(proc{root}, none, Want{})
	if err != nil || v.AllPorts || !strings.Contains(strings.Join(v.Hidden, ""), "this /proc") {
		t.Errorf("%+v, %v", v, err)
	}
}

const tcpHeading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// lay makes a process in a /proc of a test, in a network namespace of its own.
func lay(t *testing.T, root, process, tcp string) {
	t.Helper()
	dir := filepath.Join(root, process, "net")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		text := tcpHeading
		if table.name == "tcp" {
			text += tcp
		}
		if err := os.WriteFile(filepath.Join(dir, table.name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A /proc as a container host has it: the listener of another namespace is found, with its owner, unit and container.
func TestContainerListener(t *testing.T) {
	root := t.TempDir()
	id := strings.Repeat("ab12", 16)
	lay(t, root, "self", "")
	lay(t, root, "1", "")
	lay(t, root, "812", "   0: 0100007F:0BAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 777777 1 0000000000000000 100 0 0 10 0\n")
	for name, text := range map[string]string{
		"comm": "java\n", "stat": "812 (java (x) y) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0\n",
		"cgroup": "0::/system.slice/docker-" + id + ".scope\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "812", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(root, "812", "fd"), 0o755), os.Symlink("socket:[777777]", filepath.Join(root, "812", "fd", "5")),
		os.Symlink("socket:[777777]", filepath.Join(root, "812", "fd", "6")), os.Symlink("/dev/null", filepath.Join(root, "812", "fd", "7"))); err != nil {
		t.Fatal(err)
	}
	v, err := look(proc{root}, func(Want) ([]Listener, error) { return nil, nil }, Want{Ports: []Range{{2988, 2988}}, Owners: true})
	if err != nil || len(v.Listeners) != 1 || !v.Complete {
		t.Fatalf("%+v, %v", v, err)
	}
	l := v.Listeners[0]
	if l.Address != netip.MustParseAddr("127.0.0.1") || *l.UID != 990 || l.Namespace != "of process 812" || len(l.Owners) != 1 || l.Owners[0].Name != "java" ||
		l.Container != "docker ab12ab12ab12" || l.Owners[0].Started.IsZero() {
		t.Errorf("%+v", l)
	}
}

// A namespace is read by another of its processes when the first has ended meanwhile.
func TestNamespaceOfAProcessThatEnds(t *testing.T) {
	root := t.TempDir()
	lay(t, root, "1", "")
	lay(t, root, "812", "   0: 0100007F:0BAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 777777 1 0000000000000000 100 0 0 10 0\n")
	p := proc{root}
	v := View{Complete: true, AllPorts: true}
	p.addOthers(&v, map[uint64][]int{1: {811, 812}, 2: {813}}, Want{})
	if len(v.Listeners) != 1 || v.Listeners[0].Port != 2988 || v.Listeners[0].Namespace != "of process 812" || !v.AllPorts {
		t.Errorf("%+v", v)
	}
	// What is refused is not gone.
	if err := os.Remove(filepath.Join(root, "812", "net", "udp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "812", "net", "udp"), 0o755); err != nil {
		t.Fatal(err)
	}
	v = View{Complete: true, AllPorts: true}
	p.addOthers(&v, map[uint64][]int{1: {812}}, Want{})
	if v.AllPorts || len(v.Hidden) != 1 || !strings.Contains(v.Hidden[0], "of process 812") {
		t.Errorf("%+v", v)
	}
}

func TestUnitOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]string{
		"/system.slice/hippad.service":                                        "hippad.service|",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope":     "a.scope|",
		"/system.slice/docker-" + id + ".scope":                               "docker-" + id + ".scope|docker 0123456789ab",
		"/docker/" + id:                                                       "|0123456789ab",
		"/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope": "cri-containerd-" + id + ".scope|cri-containerd 0123456789ab",
		"/lxc.payload.web/system.slice/nginx.service":                         "nginx.service|lxc web",
		"/": "|", "": "|",
	} {
		if unit, container := unitOf(path); unit+"|"+container != want {
			t.Errorf("%s: %s|%s, want %s", path, unit, container, want)
		}
	}
	if unit, container := unitOfProcess("12:cpu:/docker/" + id + "\n1:name=systemd:/system.slice/x.service\n0::/\n"); unit != "x.service" || container != "0123456789ab" {
		t.Errorf("%s %s", unit, container)
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "system.slice", "a.service"), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := inodeOf(filepath.Join(root, "system.slice", "a.service"))
	if err != nil {
		t.Fatal(err)
	}
	if got := groupsByID(root, map[uint64]bool{n: true}); !maps.Equal(got, map[uint64]string{n: "/system.slice/a.service"}) {
		t.Errorf("%v", got)
	}
}

// Whatever the kernel's message holds, reading it ends and reads nothing beyond it.
func FuzzParseMessageStaysInside(f *testing.F) {
	f.Add(make([]byte, sizeofMessage), byte(unix.IPPROTO_TCP))
	f.Add(append(make([]byte, sizeofMessage), 5, 0, attrV6Only, 0, 1, 0, 0, 0), byte(unix.IPPROTO_UDP))
	f.Fuzz(func(t *testing.T, body []byte, transport byte) {
		if l, ok := parseMessage(body, transport, Want{}); ok && (l.Port == 0 || !l.Address.IsValid()) {
			t.Errorf("%+v", l)
		}
	})
}

// A line of a table of /proc gives a listener or nothing.
func FuzzParseSocket(f *testing.F) {
	f.Add("   0: 0100007F:0BAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 777777 1", "0A")
	f.Fuzz(func(t *testing.T, line, state string) {
		if l, ok := parseSocket(line, state); ok && (l.Port == 0 || !l.Address.IsValid()) {
			t.Errorf("%+v", l)
		}
	})
}
