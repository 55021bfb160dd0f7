package port

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// pids lists the processes that are visible.
func (p proc) pids() (out []int, err error) {
	dir, err := unix.Open(p.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.root, Err: err}
	}
	defer unix.Close(dir)
	err = eachNumber(dir, make([]byte, 32<<10), func(n int, _ []byte) { out = append(out, n) })
	return out, err
}

// eachNumber calls f with every entry of a directory that is a number, and with its name as C writes it.
func eachNumber(dir int, buffer []byte, f func(n int, name []byte)) error {
	for {
		size, err := unix.Getdents(dir, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || size <= 0 {
			return err
		}
		// struct linux_dirent64: inode 8, offset 8, length 2, type 1, name
		for rest := buffer[:size]; len(rest) >= 19; {
			length := int(binary.NativeEndian.Uint16(rest[16:]))
			if length < 20 || length > len(rest) {
				return errors.New("a directory entry is cut off")
			}
			name := rest[19:length]
			rest = rest[length:]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end+1]
			}
			if n, ok := decimal(name[:len(name)-1]); ok {
				f(int(n), name)
			}
		}
	}
}

func decimal(digits []byte) (n uint64, ok bool) {
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// A holding is a process that has a socket open.
type holding struct {
	inode uint64
	pid   int
}

// holders finds which processes hold the sockets, by what their descriptors point to. It looks at all of them, because a socket may
// be shared. What may not be looked at is counted.
func (p proc) holders(pids []int, sockets map[uint64]bool) (found []holding, unseen int) {
	var next, hidden atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4, (len(pids)+31)/32) {
		wg.Go(func() {
			var mine []holding
			walker := fdWalker{buffer: make([]byte, 32<<10), sockets: sockets}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(pids) {
					break
				}
				from := len(mine)
				var err error
				mine, err = walker.walk(p.path(strconv.Itoa(pids[i]), "fd"), pids[i], mine)
				if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
					hidden.Add(1)
				}
				slices.SortFunc(mine[from:], func(a, b holding) int { return cmp.Compare(a.inode, b.inode) })
				mine = mine[:from+len(slices.Compact(mine[from:]))] // the same socket under two descriptors
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, mine...)
		})
	}
	wg.Wait()
	slices.SortFunc(found, func(a, b holding) int { return a.pid - b.pid })
	return found, int(hidden.Load())
}

type fdWalker struct {
	buffer  []byte
	sockets map[uint64]bool
}

func (w *fdWalker) walk(path string, pid int, found []holding) ([]holding, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return found, err
	}
	defer unix.Close(dir)
	var link [32]byte
	err = eachNumber(dir, w.buffer, func(_ int, name []byte) {
		n := readlinkat(dir, name, link[:])
		digits, isSocket := bytes.CutPrefix(link[:max(n, 0)], []byte("socket:["))
		if !isSocket || len(digits) == 0 || digits[len(digits)-1] != ']' {
			return
		}
		if inode, ok := decimal(digits[:len(digits)-1]); ok && w.sockets[inode] {
			found = append(found, holding{inode, pid})
		}
	})
	return found, err
}

// process reads what is told of a process. What has ended meanwhile keeps its number alone.
func (p proc) process(pid int, users *userNames) Process {
	out := Process{PID: pid}
	dir := p.path(strconv.Itoa(pid))
	if text, err := os.ReadFile(dir + "/comm"); err == nil {
		out.Name = strings.TrimRight(string(text), "\n")
	}
	if text, err := os.ReadFile(dir + "/stat"); err == nil {
		out.Started = startOf(string(text))
	}
	if text, err := os.ReadFile(dir + "/cgroup"); err == nil {
		out.Unit, out.Container = unitOfProcess(string(text))
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err == nil {
		out.User = users.name(st.Uid)
	}
	return out
}

// startOf reads when a process began from proc_pid_stat(5): field 22, in hundredths of a second since the machine started.
func startOf(stat string) time.Time {
	i := strings.LastIndexByte(stat, ')') // the name before it may hold anything
	if i < 0 {
		return time.Time{}
	}
	cells := strings.Fields(stat[i+1:])
	if len(cells) < 20 {
		return time.Time{}
	}
	ticks, err := strconv.ParseInt(cells[19], 10, 64)
	var up unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Go has
	return time.Now().Add(-time.Duration(up.Nano())).Add(time.Duration(ticks) * tick).Truncate(time.Second).UTC()
}

// userNames looks names of users up once.
type userNames struct{ known map[uint32]string }

func (u *userNames) name(uid uint32) string {
	if name, ok := u.known[uid]; ok {
		return name
	}
	name := ""
	if found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = found.Username
	}
	if u.known == nil {
		u.known = map[uint32]string{}
	}
	u.known[uid] = name
	return name
}
