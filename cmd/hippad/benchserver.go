package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"hippad"
)

const (
	benchPoll = 50 * time.Millisecond
	// benchPatience is how long the log may stand still before bench gives up waiting for the rest.
	benchPatience = 30 * time.Second
	// A store has settled when its size has been the same for benchStill, or after benchSettle.
	benchStill  = time.Second
	benchSettle = 10 * time.Second
	// maxMetrics bounds what is read of GET /metrics.
	maxMetrics = 4 << 20
)

// A benchReading is what the server says about itself. What it does not say is NaN.
type benchReading struct {
	entries float64 // in the log
	cpu     float64 // seconds of the process
	disk    float64 // bytes of the store
}

// benchGauges reads GET /metrics of the server.
type benchGauges struct {
	url    string
	client *http.Client
}

func newBenchGauges(address string, config *tls.Config) *benchGauges {
	return &benchGauges{url: "https://" + address + "/metrics", client: &http.Client{
		Timeout: dialTime, Transport: &http.Transport{TLSClientConfig: config.Clone(), DisableCompression: true},
	}}
}

func (g *benchGauges) close() { g.client.CloseIdleConnections() }

func (g *benchGauges) read(ctx context.Context) (benchReading, error) {
	r := benchReading{math.NaN(), math.NaN(), math.NaN()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return r, err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return r, hippad.Errorf(hippad.Unavailable, "read the server's metrics: %w", err).WithHint("is it running? start one with hippad serve")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return r, fmt.Errorf("read the server's metrics: %s", response.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(response.Body, maxMetrics))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into := map[string]*float64{"hippad_entries": &r.entries, "process_cpu_seconds_total": &r.cpu, "hippad_store_bytes": &r.disk}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.ParseFloat(value, 64); err != nil {
			return r, fmt.Errorf("read the server's metrics: %s is no number", name)
		}
	}
	if err := lines.Err(); err != nil {
		return r, fmt.Errorf("read the server's metrics: %w", err)
	}
	if math.IsNaN(r.entries) {
		return r, hippad.Errorf(hippad.Invalid, "%s does not say how long its log is: it is no hippad server", g.url)
	}
	return r, nil
}

// waitFor waits until the log has so many entries.
func (g *benchGauges) waitFor(ctx context.Context, entries float64) error {
	last, moved := -1.0, time.Now()
	for {
		r, err := g.read(ctx)
		switch {
		case err != nil:
			return err
		case r.entries >= entries:
			return nil
		case r.entries != last:
			last, moved = r.entries, time.Now()
		case time.Since(moved) > benchPatience:
			return fmt.Errorf("%w: %.0f of those sent are missing in the log", errLost, entries-r.entries)
		}
		if err := pause(ctx, benchPoll); err != nil {
			return err
		}
	}
}

// settle waits until the store has done what it does after the last report, and returns the reading from then.
func (g *benchGauges) settle(ctx context.Context) (benchReading, error) {
	begin := time.Now()
	last, err := g.read(ctx)
	for moved := begin; err == nil && time.Since(moved) < benchStill && time.Since(begin) < benchSettle; {
		if err = pause(ctx, 4*benchPoll); err != nil {
			break
		}
		disk := last.disk
		if last, err = g.read(ctx); last.disk != disk {
			moved = time.Now()
		}
	}
	return last, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// latencies counts latencies in buckets of which each is at most 1/16 wider than the one before, so that memory does not
// grow with the number of reports.
type latencies struct {
	mu      sync.Mutex
	buckets [64 * latencySteps]int64
	count   int64
	max     time.Duration
}

const (
	latencySteps = 1 << latencyBits // buckets for each power of two microseconds
	latencyBits  = 4
)

func latencyBucket(us uint64) int {
	if us < latencySteps {
		return int(us)
	}
	shift := bits.Len64(us) - latencyBits - 1
	return (shift+1)*latencySteps + int(us>>shift)&(latencySteps-1)
}

// latencyOf returns the upper end of a bucket, in microseconds.
func latencyOf(bucket int) float64 {
	shift := bucket/latencySteps - 1
	if shift < 0 {
		return float64(bucket + 1)
	}
	return math.Ldexp(float64(latencySteps+bucket%latencySteps+1), shift)
}

func (l *latencies) add(d time.Duration, reports int64) {
	d = max(d, 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets[latencyBucket(uint64(d.Microseconds()))] += reports
	l.count += reports
	l.max = max(l.max, d)
}

// quantile returns the latency that the share q of the reports did not exceed, in milliseconds; the maximum is exact.
func (l *latencies) quantile(q float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := float64(l.max) / float64(time.Millisecond)
	rank, seen := int64(math.Ceil(q*float64(l.count))), int64(0)
	for i, n := range l.buckets {
		if seen += n; seen >= rank && n > 0 {
			return min(latencyOf(i)/1000, most)
		}
	}
	return most
}
