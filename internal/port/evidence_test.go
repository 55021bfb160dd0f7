package port

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	r := Embedded()
	for n, want := range map[uint16]Status{
		2988: StatusImplemented, 5432: StatusInUse, 443: StatusStandard, 80: StatusStandard, 2984: StatusUnknown, 2: StatusDeassigned, 5030: StatusDeassigned,
		8077: StatusDeassigned, 60000: StatusDynamic, 8010: StatusReserved, 1023: StatusReserved, 1965: StatusUnknown, 2181: StatusUnknown, 9042: StatusUnassigned,
	} {
		got, why, _ := assess(n, r, nil)
		if got != want {
			t.Errorf("%d: %s, want %s (%v)", n, got, want, why)
		}
		for _, e := range why {
			if e.Says == "" || e.Source == "" || e.Date == "" {
				t.Errorf("%d: %+v has no source or no date", n, e)
			}
		}
		if len(why) == 0 {
			t.Errorf("%d: no evidence", n)
		}
	}
	// A row that was read from IANA's page by hand is as new as that page: RFC 9110 is of 2022.
	_, why, _ := assess(80, r, nil)
	if !slices.Contains(why, Evidence{"http refers to RFC 9110", "IANA registry", "2026-02"}) {
		t.Errorf("%v", why)
	}
	// This machine's services file is evidence for a registered name, and of another use for any other.
	if got, _, _ := assess(2984, r, []string{"hpidsadmin"}); got != StatusInUse {
		t.Errorf("%s", got)
	}
	if got, _, also := assess(2984, r, []string{"mine"}); got != StatusUnknown || len(also) != 1 {
		t.Errorf("%s, %v", got, also)
	}
}

// A ghost is never computed: only what somebody has looked up is one, whatever the columns of the registry say.
func TestGhostsAreReviewed(t *testing.T) {
	r := Embedded()
	for n := range 65536 {
		got, why, _ := assess(uint16(n), r, nil)
		listed := strings.Contains(reviewed, "\n"+strconv.Itoa(n)+"\tghost\t") || strings.Contains(reviewed, "\n"+strconv.Itoa(n)+"\timplemented\t")
		if (got == StatusGhost || got == StatusImplemented) != listed {
			t.Errorf("%d: %s, listed %v, %v", n, got, listed, why)
		}
	}
	if !strings.Contains(reviewed, "\n2988\timplemented\t") {
		t.Error("2988 is not said to be implemented")
	}
}

// Every row of our own table has a citation, and what it calls registered is registered for that transport.
func TestWellKnownIsCited(t *testing.T) {
	r := Embedded()
	last, user := 0, 0
	for line := range strings.Lines(wellKnown) {
		if line[0] == '#' {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 6 || slices.Contains(cells, "") {
			t.Fatalf("%q", line)
		}
		n, err := strconv.ParseUint(cells[0], 10, 16)
		if err != nil || int(n) < last || TierOf(uint16(n)) == Dynamic {
			t.Errorf("%q: not in order, or no assignable port", line)
		}
		last = int(n)
		if TierOf(uint16(n)) == User {
			user++
		}
		if cells[3] != "standard" && cells[3] != "in use" || cells[2] != "registered" && cells[2] != "other" {
			t.Errorf("%q", line)
		}
		for transport := range strings.FieldsSeq(cells[1]) {
			registered := slices.ContainsFunc(r.Lookup(uint16(n)), func(x Record) bool {
				return x.Assigned() && (len(x.Transports) == 0 || slices.Contains(x.Transports, transport))
			})
			if cells[2] == "registered" && !registered {
				t.Errorf("%d/%s is not registered: %q", n, transport, line)
			}
		}
	}
	if user < 150 {
		t.Errorf("%d user ports", user)
	}
}

func TestServices(t *testing.T) {
	const file = "# comment\nssh\t22/tcp  # The Secure Shell\nhttp 80/tcp www\nbad\nworse x/tcp\nhttp 80/udp\nmine 80/tcp\nzip 80/ddp\n"
	if got := Services(strings.NewReader(file), 80); !slices.Equal(got, []string{"http", "mine"}) {
		t.Errorf("%v", got)
	}
	if got := Services(strings.NewReader(file), 23); got != nil {
		t.Errorf("%v", got)
	}
	// A copy of IANA's table is no evidence that anything is in use.
	whole := strings.Builder{}
	for n := range 5000 {
		fmt.Fprintf(&whole, "name%d %d/tcp\n", n, n+1)
	}
	if got := Services(strings.NewReader(whole.String()), 80); got != nil {
		t.Errorf("of a copy of the registry: %v", got)
	}
}

func TestHost(t *testing.T) {
	h := Host{Ephemeral: Range{32768, 60999}, Reserved: []Range{{40000, 40010}}}
	for n, want := range map[uint16]bool{32767: false, 32768: true, 40005: false, 60999: true, 61000: false} {
		if h.TakesEphemeral(n) != want {
			t.Errorf("%d: %v", n, !want)
		}
	}
	if h := ReadHost(); h.Ephemeral.First == 0 || h.Ephemeral.Last < h.Ephemeral.First || h.Source == "" {
		t.Errorf("%+v", h)
	}
}

func TestPage(t *testing.T) {
	d := &Desk{Registry: Embedded()}
	p, err := d.Page(2988)
	if err != nil {
		t.Fatal(err)
	}
	if p.View != nil || p.Host != nil || p.Traffic != nil {
		t.Error("a desk that was given nothing of the machine says something of it")
	}
	if len(p.Same) != 4 || p.Same[0] != (Related{Range{1092, 1092}, "obrpd"}) {
		t.Errorf("%v", p.Same)
	}
	if !slices.Contains(p.Remarks, "[sic: the law is HIPAA]") || !strings.Contains(strings.Join(p.Remarks, ""), "William Randolph Royere III") {
		t.Errorf("%v", p.Remarks)
	}
	if !strings.Contains(p.Evidence[0].Says, "implemented by hippad since") || len(p.AlsoSeen) < 3 || !strings.Contains(p.AlsoSeen[0].Says, "ZooKeeper") {
		t.Errorf("%v %v", p.Evidence, p.AlsoSeen)
	}
}

func TestFree(t *testing.T) {
	d := &Desk{Registry: Embedded(), Host: func() Host { return Host{Ephemeral: Range{32768, 60999}} }}
	first, ok := d.Free(Range{8000, 65535}, View{})
	if !ok || len(d.Registry.Lookup(first)) != 0 || first < 8000 {
		t.Fatalf("%d %v", first, ok)
	}
	next, ok := d.Free(Range{8000, 65535}, View{Listeners: []Listener{{Port: first}}})
	if !ok || next <= first {
		t.Errorf("%d %v", next, ok)
	}
	if n, ok := d.Free(Range{first, next - 1}, View{Listeners: []Listener{{Port: first}}}); ok {
		t.Errorf("%d is beyond the range", n)
	}
	if n, ok := d.Free(Range{32768, 65535}, View{}); ok {
		t.Errorf("%d is taken for connections", n)
	}
	if n, ok := d.Free(Range{1, 65535}, View{}); !ok || n < 1024 {
		t.Errorf("%d %v", n, ok)
	}
}
