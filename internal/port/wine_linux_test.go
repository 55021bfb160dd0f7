package port

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests of this package, built for Windows, pass under wine, with the system calls of Windows that read who listens. Wine's answers are
// not those of a Windows machine, so the page goes on to say that it is untested there.
func TestWindowsUnderWine(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds for Windows")
	}
	gcc := have(t, "x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64-win32")
	wine := ""
	for _, name := range []string{"/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"} {
		if _, err := os.Stat(name); err == nil && wine == "" {
			wine = name
		}
	}
	if wine == "" {
		wine = have(t, "wine64", "wine64")
	}
	dir := t.TempDir()
	run := func(program string, env []string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), env...)
		cmd.WaitDelay = 10 * time.Second // wine's server keeps the pipes open
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
		}
		return string(out)
	}
	run(gcc, nil, "-shared", "-o", filepath.Join(dir, "bcryptprimitives.dll"), "testdata/prng.c", "-ladvapi32")
	run("go", []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, "test", "-c", "-o", filepath.Join(dir, "port.exe"), ".")
	env := []string{"WINEPREFIX=" + filepath.Join(dir, "wine"), "WINEDEBUG=-all", "HIPPAD_UNDER_WINE=1", "WINEDLLOVERRIDES=bcryptprimitives=n;mscoree=;mshtml="}
	run(wine, env, "wineboot", "--init")
	t.Cleanup(func() { // the server of this prefix alone
		cmd := exec.Command(filepath.Join(filepath.Dir(wine), "wineserver64"), "-k")
		cmd.Env = append(os.Environ(), env...)
		_ = cmd.Run()
	})
	library, err := os.ReadFile(filepath.Join(dir, "bcryptprimitives.dll"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "wine", "drive_c", "windows", "system32", "bcryptprimitives.dll"), library, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := run(wine, env, filepath.Join(dir, "port.exe"), "-test.v")
	for _, name := range []string{"TestListenersOfWindows", "TestProbe", "TestStatus"} {
		if !strings.Contains(out, "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, out)
		}
	}
}
