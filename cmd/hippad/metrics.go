package main

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hippad"
	"hippad/internal/front"
)

// metrics answers /metrics. The rooms count for themselves; here their counters get names. No label ever holds a word
// that a reporter has sent.
func (s *server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	value := func(kind prometheus.ValueType, name, help string, labels prometheus.Labels, f func() float64) {
		o := prometheus.Opts{Namespace: "hippad", Name: name, Help: help, ConstLabels: labels}
		if kind == prometheus.CounterValue {
			registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts(o), f))
		} else {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts(o), f))
		}
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	value(gauge, "entries", "Entries in the log.", nil, func() float64 { return float64(s.ledger.Size()) })
	value(gauge, "store_bytes", "Bytes that the content of the store takes on the disk, without log files kept for reuse.", nil, func() float64 { return float64(s.store.Size()) })
	value(counter, "commits_total", "Commits since the start.", nil, func() float64 { return float64(s.ledger.Stats().Commits) })
	value(counter, "commit_errors_total", "Commits that the store refused.", nil, func() float64 { return float64(s.ledger.Stats().CommitErrors) })
	value(counter, "repeats_total", "Reports of numbered streams that came again and were set aside.", nil, func() float64 { return float64(s.ledger.Stats().Repeats) })
	value(counter, "pool_full_total", "Times a report had to wait for room.", nil, func() float64 { return float64(s.ledger.Stats().PoolFull) })
	value(gauge, "last_commit_seconds", "How long the newest commit took in the store.", nil, func() float64 { return s.ledger.Stats().LastCommit.Seconds() })
	for what, n := range map[string]*atomic.Int64{
		"message": &s.syslog.Messages, "repaired": &s.syslog.Repairs, "truncated": &s.syslog.Truncations, "stray": &s.syslog.Strays,
		"retried": &s.syslog.Retries, "refused": &s.syslog.Refused, "dropped datagram": &s.syslog.Dropped, "empty datagram": &s.syslog.Empty,
	} {
		value(counter, "syslog_total", "What the syslog door met.", prometheus.Labels{"what": what}, func() float64 { return float64(n.Load()) })
	}
	for _, l := range front.Labels {
		value(counter, "rejected_connections_total", "Connections that belonged to no door, by why they ended.", prometheus.Labels{"label": string(l)},
			func() float64 { return float64(s.front.Rejected(l)) })
	}
	registry.MustRegister(unreadableCollector{s}, sourcesCollector{s}, forwardCollector{s}, trafficCollector{s})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// unreadableCollector gives the count of each reporter, whose names are not known beforehand.
type unreadableCollector struct{ s *server }

// Describe implements prometheus.Collector: nothing said beforehand makes it an unchecked one.
func (unreadableCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c unreadableCollector) Collect(out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("hippad_unreadable_total", "Reports that no reader understands, by reporter.", []string{"reporter"}, nil)
	for reporter, n := range c.s.unreadable.Counts() {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), reporter)
	}
}

// ready answers /readyz: whether reports are taken now.
func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.ledger.Failing(); err != nil {
		message, _ := hippad.Public(err)
		http.Error(w, message, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
