package atna

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hippad"
)

// update writes what the readers say into testdata/golden. Compare it with the messages themselves before it is kept.
var update = flag.Bool("update", false, "write testdata/golden from what the readers say now")

// goldens are the real messages whose events were compared with them by hand: by sender, or by what is particular about them.
var goldens = map[string][]string{
	"cara.txt":           {"dicom-audit-xml/cara/*"},
	"dcm4chee-arr.txt":   {"dicom-audit-xml/dcm4chee-arr/*"},
	"epr-by-example.txt": {"dicom-audit-xml/epr-by-example/*"},
	"icure.txt":          {"dicom-audit-xml/icure/*"},
	"ipf.txt":            {"dicom-audit-xml/ipf/*"},
	"openatna.txt":       {"dicom-audit-xml/openatna/*", "dicom-audit-xml/openatna-client/*"},
	"sfahrenholz.txt":    {"dicom-audit-xml/sfahrenholz/*"},
	"dcm4chee.txt": {"dicom-audit-xml/dcm4chee/*-01.xml", "dicom-audit-xml/dcm4chee/data-export-02.xml", "dicom-audit-xml/dcm4chee/patient-record-02.xml",
		"dicom-audit-xml/dcm4chee/malformed/*.xml"},
	"syslog.txt": {"syslog-atna/*udp.bin", "syslog-atna/cara*", "syslog-atna/openhim*", "syslog-atna/*octetcount*", "syslog-atna/*nontransparent*", "syslog-atna/*sd-params*",
		"syslog-atna/malformed/*"},
}

func TestGoldenEvents(t *testing.T) {
	root := filepath.Dir(samples(t, "dicom-audit-xml"))
	total := 0
	for file, patterns := range goldens {
		var b strings.Builder
		for _, pattern := range patterns {
			names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
			if err != nil || len(names) == 0 {
				t.Fatalf("%s: no messages: %v", pattern, err)
			}
			for _, name := range names {
				if info, err := os.Stat(name); err != nil || info.IsDir() {
					continue
				}
				short, _ := filepath.Rel(root, name)
				fmt.Fprintf(&b, "# %s\n", filepath.ToSlash(short))
				total++
				if strings.HasPrefix(pattern, "dicom") {
					facts(&b, ReadXML(read(t, name)))
					continue
				}
				for _, f := range messages(t, name) {
					if f.fault != hippad.NoFault {
						fmt.Fprintf(&b, "fault %s\n", f.fault)
					}
					facts(&b, ReadSyslog(f.body, nil))
				}
			}
		}
		kept := filepath.Join("testdata", "golden", file)
		if *update {
			if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(kept, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, got := strings.Split(string(read(t, kept)), "\n"), strings.Split(b.String(), "\n")
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i] != got[i] {
				t.Errorf("%s, line %d:\ngot  %s\nwant %s", file, i+1, at(got, i), at(want, i))
				break
			}
		}
	}
	t.Logf("%d messages", total)
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// facts writes an event as lines of what it says, each part only if it says something.
func facts(b *strings.Builder, ev hippad.Event) {
	line := func(name string, parts ...string) {
		text := ""
		for _, p := range parts {
			if p != "" {
				text += " " + p
			}
		}
		if text != "" {
			fmt.Fprintf(b, "%s%s\n", name, text)
		}
	}
	if ev.Unreadable != "" {
		line("unreadable", ev.Unreadable)
	}
	if h := ev.Syslog; h != nil {
		line("syslog", fmt.Sprintf("pri %d version %d", h.Priority, h.Version), instant(h.Timestamp), named("host", h.Hostname), named("app", h.AppName),
			named("proc", h.ProcID), named("msgid", h.MsgID), named("sd", h.StructuredData))
	}
	line("event", code(ev.Type), named("action", ev.Action), named("outcome", ev.Outcome), instant(ev.Recorded), named("because", ev.OutcomeDescription))
	line("subtypes", codes(ev.Subtypes))
	line("purposes", codes(ev.Purposes))
	for _, a := range ev.Agents {
		requestor := ""
		if a.Requestor {
			requestor = "requestor"
		}
		line("agent", who(a.Who), requestor, named("alt", a.AltID), named("name", a.Name), named("address", a.Address), named("kind", a.AddressType),
			named("id", code(a.IDType)), named("roles", codes(a.Roles)), named("media", code(a.Media)), named("purposes", codes(a.Purposes)))
	}
	line("source", who(ev.Source.Observer), named("site", ev.Source.Site), codes(ev.Source.Types))
	for _, e := range ev.Entities {
		var details []string
		for _, d := range e.Details {
			details = append(details, d.Type+"="+short(d.Value))
		}
		line("entity", who(e.What), named("type", code(e.Type)), named("role", code(e.Role)), named("cycle", code(e.Lifecycle)), named("id", code(e.IDType)),
			named("name", e.Name), named("labels", codes(e.Labels)), named("says", e.Description), named("query", short(e.Query)),
			named("details", strings.Join(details, "; ")))
	}
	line("patients", strings.Join(patientTerms(ev), "  "))
}

func named(name, value string) string {
	if value == "" {
		return ""
	}
	return name + " " + strings.ReplaceAll(value, "\n", `\n`)
}

func instant(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339Nano)
}

func code(c hippad.Code) string {
	if c == (hippad.Code{}) {
		return ""
	}
	s := c.Code
	if c.System != "" {
		s = c.System + "|" + s
	}
	if c.Display != "" {
		s += fmt.Sprintf(" %q", c.Display)
	}
	return s
}

func codes(list []hippad.Code) string {
	var all []string
	for _, c := range list {
		all = append(all, code(c))
	}
	return strings.Join(all, ", ")
}

func who(r hippad.Reference) string { return r.Identifier.String() }

// short shows the beginning of a value and how long it is.
func short(v []byte) string {
	const most = 24
	if len(v) == 0 {
		return ""
	}
	if len(v) <= most && !bytes.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
		return string(v)
	}
	return fmt.Sprintf("%q... %d bytes", v[:min(most, len(v))], len(v))
}
