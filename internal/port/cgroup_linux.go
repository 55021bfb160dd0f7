package port

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// unitOfProcess reads /proc/PID/cgroup, cgroups(7): a line for each hierarchy, of which the unified one and systemd's own name units.
func unitOfProcess(text string) (unit, container string) {
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		u, c := unitOf(path)
		if container == "" {
			container = c
		}
		if unit == "" && (controllers == "" || controllers == "name=systemd") {
			unit = u
		}
	}
	return unit, container
}

// unitOf reads the path of a control group: the innermost systemd unit, and the container as its runtime names it.
func unitOf(path string) (unit, container string) {
	for part := range strings.SplitSeq(path, "/") {
		name := strings.ReplaceAll(part, `\x2d`, "-")
		for _, runtime := range []string{"docker", "libpod", "cri-containerd", "crio", "nerdctl"} {
			if id, ok := strings.CutPrefix(name, runtime+"-"); ok && isContainerID(strings.TrimSuffix(id, ".scope")) {
				container = runtime + " " + strings.TrimSuffix(id, ".scope")[:12]
			}
		}
		for _, runtime := range []string{"lxc.payload.", "lxc.monitor."} {
			if id, ok := strings.CutPrefix(name, runtime); ok {
				container = "lxc " + id
			}
		}
		if isContainerID(name) {
			container = name[:12]
		}
		if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") || strings.HasSuffix(name, ".socket") {
			unit = name
		}
	}
	return unit, container
}

// isContainerID: the runtimes that follow Docker name a container by 64 hexadecimal digits.
func isContainerID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// maxGroups bounds the search for a control group; a large Kubernetes node has some thousand.
const maxGroups = 20_000

var errEnough = errors.New("enough")

// groupsByID finds the paths of control groups by their numbers, which are the inodes of their directories.
func groupsByID(root string, wanted map[uint64]bool) map[uint64]string {
	found := map[uint64]string{}
	seen := 0
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if !d.IsDir() {
			return nil
		}
		if seen++; seen > maxGroups || len(found) == len(wanted) {
			return errEnough
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && wanted[st.Ino] {
				found[st.Ino] = strings.TrimPrefix(path, root)
			}
		}
		return nil
	})
	return found
}

// unifiedRoot returns where the unified hierarchy is mounted, from /proc/self/mounts; empty when it is not.
func unifiedRoot(mounts string) string {
	for line := range strings.Lines(mounts) {
		if cells := strings.Fields(line); len(cells) > 2 && cells[2] == "cgroup2" {
			return cells[1]
		}
	}
	return ""
}
