package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"hippad"
)

// Doors that bench sends through.
const (
	benchDoorSyslog = "syslog"
	benchDoorNative = "native"
	benchDoorFHIR   = "fhir"
)

const (
	maxBenchConnections = 10_000
	minBenchRate        = 0.001
	maxBenchRate        = 10_000_000
)

type benchFlags struct {
	connection
	door        string
	connections int
	rate        float64
	duration    time.Duration
	count       int64
	mix         string
	size        int
	json        bool

	kinds map[string]int // of mix
}

func newBench() *cobra.Command {
	var c benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure a running server",
		Long: `Send made-up audit messages to a running server and measure how fast it makes them durable and searchable. THEY STAY
IN ITS LOG: nothing can be taken out of it. Use a server that is there for this.

Without --rate, messages are sent as fast as they are taken. With --rate, each message has its time, and latency counts from that
time whether or not the sender could send it then: a stall of the server shows with everything that it held up.

Syslog has no acknowledgement. There, bench waits until the log has grown by what was sent, and gives no latency.`,
		Example: `  hippad bench
  hippad bench --rate 1000 --duration 1m
  hippad bench --door syslog --count 1000000 --mix dicom=8,fhir=1,broken=1 --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.check(cmd.Flags().Changed("duration")); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.door, "door", benchDoorNative, "the `DOOR` to send through: syslog, native or fhir")
	f.IntVar(&c.connections, "connections", 8, "`N` connections at once")
	f.Float64Var(&c.rate, "rate", 0, "reports a second, over all connections; 0: as fast as possible")
	f.DurationVar(&c.duration, "duration", 10*time.Second, "send for so long")
	f.Int64Var(&c.count, "count", 0, "send `N` reports, however long it takes")
	f.StringVar(&c.mix, "mix", "", "what is sent, by weight, as in dicom=8,fhir=1,broken=1 (default dicom=1; fhir=1 for --door fhir)")
	f.IntVar(&c.size, "size", 2048, "about so many `BYTES` a report")
	f.BoolVar(&c.json, "json", false, "the result as one JSON object")
	return cmd
}

// check refuses what makes no sense together.
func (c *benchFlags) check(durationGiven bool) (err error) {
	switch c.door {
	case benchDoorSyslog, benchDoorNative, benchDoorFHIR:
	default:
		return usagef("--door %q: want %s, %s or %s", c.door, benchDoorSyslog, benchDoorNative, benchDoorFHIR)
	}
	switch {
	case c.connections < 1 || c.connections > maxBenchConnections:
		return usagef("--connections %d: want 1 to %d", c.connections, maxBenchConnections)
	case c.rate != 0 && !(c.rate >= minBenchRate && c.rate <= maxBenchRate):
		return usagef("--rate %v: want %v to %d, or 0", c.rate, minBenchRate, maxBenchRate)
	case c.count < 0:
		return usagef("--count %d: want 1 or more", c.count)
	case c.count > 0 && durationGiven:
		return usagef("--count and --duration: want one of them")
	case c.duration <= 0:
		return usagef("--duration %v: want more than nothing", c.duration)
	case c.size < 1 || c.size > maxMessage:
		return usagef("--size %d: want 1 to %d", c.size, maxMessage)
	}
	if c.mix == "" {
		c.mix = benchDICOM + "=1"
		if c.door == benchDoorFHIR {
			c.mix = benchFHIR + "=1"
		}
	}
	if c.kinds, err = parseBenchMix(c.mix); err != nil {
		return usageError{err}
	}
	if c.door == benchDoorFHIR && c.kinds[benchDICOM] > 0 {
		return usagef("--mix %s: DICOM messages do not go through --door %s", c.mix, benchDoorFHIR)
	}
	return nil
}

// A bench is one run.
type bench struct {
	*benchFlags
	address string
	tls     *tls.Config
	plan    *benchPlan
	latency latencies
	sent    atomic.Int64 // bytes on the network, encryption included
	done    atomic.Int64 // reports acknowledged; for syslog, sent
}

func (c *benchFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	b := &bench{benchFlags: c}
	var err error
	if b.address, err = c.address(); err != nil {
		return err
	}
	if b.tls, err = c.reporterTLS(); err != nil {
		return err
	}
	gauges := newBenchGauges(b.address, b.tls)
	defer gauges.close()
	before, err := gauges.read(ctx)
	if err != nil {
		return err
	}
	senders, err := b.connect(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	b.plan = newBenchPlan(begin, c.rate, c.count, c.duration)
	bar := newProgress(cmd.ErrOrStderr(), "sending")
	stopBar := b.watch(ctx, bar, begin)
	err = b.send(ctx, senders)
	if err == nil && c.door == benchDoorSyslog {
		err = gauges.waitFor(ctx, before.entries+float64(b.done.Load()))
	}
	elapsed := time.Since(begin)
	stopBar()
	if err != nil {
		return err
	}
	after, err := gauges.settle(ctx)
	if err != nil {
		return err
	}
	return b.print(cmd, b.result(elapsed, before, after))
}

// send lets every sender send its part. The first error ends all of them.
func (b *bench) send(ctx context.Context, senders []benchSender) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() {
			defer s.close()
			if err := s.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running, stop := context.WithCancel(ctx)
	go b.guard(running, cancel)
	wg.Wait()
	stop()
	return context.Cause(ctx)
}

// guard ends a run in which nothing is taken any more: a server that has stopped must not hold bench for ever.
func (b *bench) guard(ctx context.Context, end context.CancelCauseFunc) {
	patience := benchPatience
	if b.rate > 0 {
		patience += time.Duration(3 / b.rate * float64(time.Second))
	}
	last, moved := int64(-1), time.Now()
	for pause(ctx, time.Second) == nil {
		if done := b.done.Load(); done != last {
			last, moved = done, time.Now()
		} else if time.Since(moved) > patience {
			end(fmt.Errorf("%w: nothing was taken for %v", errLost, patience.Round(time.Second)))
			return
		}
	}
}

// watch draws the bar until the function that it returns is called.
func (b *bench) watch(ctx context.Context, bar *progress, begin time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if total := b.plan.total; total < math.MaxInt64 {
				bar.set(b.done.Load(), total)
			} else {
				bar.set(int64(min(time.Since(begin), b.duration)/time.Second), int64((b.duration+time.Second-1)/time.Second))
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		bar.end()
	}
}

func (b *bench) generator() *benchGenerator {
	g := newBenchGenerator(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64()), time.Now)
	for _, kind := range benchKinds {
		if weight := b.kinds[kind]; weight > 0 {
			g.add(kind, weight, b.size, b.door)
		}
	}
	return g
}

// dial opens a TLS connection whose bytes are counted.
func (b *bench) dial(ctx context.Context, alpn ...string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.address)
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "no hippad server answers at %s: %w", b.address, err)
	}
	config := b.tls.Clone()
	config.NextProtos = alpn
	if config.ServerName, _, err = net.SplitHostPort(b.address); err != nil {
		raw.Close()
		return nil, err
	}
	conn := tls.Client(countedConn{raw, &b.sent}, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, hippad.Errorf(hippad.Unavailable, "TLS with %s: %w", b.address, err)
	}
	return conn, nil
}

// A countedConn counts what is written to it.
type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// newStream returns the name of a reporter's stream.
func newStream() (s hippad.StreamID) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// A benchPlan gives out the reports that are to be sent. Report i is due at begin + i/rate, whoever sends it.
type benchPlan struct {
	begin time.Time
	rate  float64   // 0: everything is due
	total int64     // reports; math.MaxInt64: until end
	end   time.Time // when there is no total

	mu   sync.Mutex
	next int64
}

func newBenchPlan(begin time.Time, rate float64, count int64, d time.Duration) *benchPlan {
	p := &benchPlan{begin: begin, rate: rate, total: count, end: begin.Add(d)}
	switch {
	case count > 0:
	case rate > 0: // what is due in that time is sent, even if the server makes it late
		p.total = max(1, int64(rate*d.Seconds()))
	default:
		p.total = math.MaxInt64
	}
	return p
}

func (p *benchPlan) due(i int64) time.Time {
	if p.rate == 0 {
		return time.Time{}
	}
	return p.begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
}

// take gives the caller the next n reports, at most so many: those that are due, or else the next one, which it must wait for. n is
// 0 when there are no more.
func (p *benchPlan) take(most int64) (first, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.total == math.MaxInt64:
		if now.Before(p.end) {
			n = most
		}
	case p.rate == 0:
		n = min(most, p.total-p.next)
	default:
		due := int64(now.Sub(p.begin).Seconds()*p.rate) + 1 - p.next
		n = min(most, p.total-p.next, max(due, 1))
	}
	first = p.next
	p.next += n
	return first, n
}

// wait returns when report i is due.
func (p *benchPlan) wait(ctx context.Context, i int64) error {
	left := time.Until(p.due(i))
	if p.rate == 0 || left <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A benchResult is what bench has measured. A nil number could not be measured.
type benchResult struct {
	Door        string   `json:"door"`
	Mix         string   `json:"mix"`
	Connections int      `json:"connections"`
	Rate        float64  `json:"rate,omitempty"`
	Reports     int64    `json:"reports"`
	Seconds     float64  `json:"seconds"`
	PerSecond   float64  `json:"reportsPerSecond"`
	P50         *float64 `json:"latencyP50Milliseconds,omitempty"`
	P99         *float64 `json:"latencyP99Milliseconds,omitempty"`
	Max         *float64 `json:"latencyMaxMilliseconds,omitempty"`
	CPU         *float64 `json:"serverCPUMicrosecondsPerReport,omitempty"`
	Disk        *float64 `json:"diskBytesPerReport,omitempty"`
	Network     float64  `json:"networkBytesPerReport"`
}

func (b *bench) result(elapsed time.Duration, before, after benchReading) benchResult {
	n := b.done.Load()
	each := float64(max(n, 1))
	r := benchResult{Door: b.door, Mix: b.mix, Connections: b.connections, Rate: b.rate, Reports: n, Seconds: elapsed.Seconds(),
		PerSecond: float64(n) / elapsed.Seconds(), Network: float64(b.sent.Load()) / each}
	known := func(v float64) *float64 { return &v }
	if b.door != benchDoorSyslog && n > 0 {
		r.P50, r.P99, r.Max = known(b.latency.quantile(0.50)), known(b.latency.quantile(0.99)), known(b.latency.quantile(1))
	}
	if !math.IsNaN(before.cpu) && !math.IsNaN(after.cpu) {
		r.CPU = known((after.cpu - before.cpu) * 1e6 / each)
	}
	if !math.IsNaN(before.disk) && !math.IsNaN(after.disk) {
		r.Disk = known((after.disk - before.disk) / each)
	}
	return r
}

func (b *bench) print(cmd *cobra.Command, r benchResult) error {
	out := cmd.OutOrStdout()
	if b.json {
		return json.NewEncoder(out).Encode(r)
	}
	show := func(format string, v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf(format, *v)
	}
	pace := "as fast as taken"
	if r.Rate > 0 {
		pace = fmt.Sprintf("%g a second", r.Rate)
	}
	writeTable(out, [][]string{
		{"MEASURED", "VALUE"},
		{"door, mix", r.Door + ", " + r.Mix},
		{"connections, pace", fmt.Sprintf("%d, %s", r.Connections, pace)},
		{"reports", fmt.Sprint(r.Reports)},
		{"seconds", fmt.Sprintf("%.2f", r.Seconds)},
		{"reports a second", fmt.Sprintf("%.0f", r.PerSecond)},
		{"latency p50, ms", show("%.2f", r.P50)},
		{"latency p99, ms", show("%.2f", r.P99)},
		{"latency max, ms", show("%.2f", r.Max)},
		{"server CPU a report, us", show("%.1f", r.CPU)},
		{"disk a report, bytes", show("%.0f", r.Disk)},
		{"network a report, bytes", fmt.Sprintf("%.0f", r.Network)},
	})
	if b.door == benchDoorSyslog {
		fmt.Fprintln(cmd.ErrOrStderr(), "hippad: syslog has no acknowledgement: measured until the log had grown by what was sent; no latency")
	}
	return nil
}

// errLost is the error of a sender whose reports were not all taken.
var errLost = errors.New("the server did not take every report")
