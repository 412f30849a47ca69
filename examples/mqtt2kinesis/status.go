package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/bridge/metrics"
	"github.com/sluiceio/sluice/bridge/metrics/histograms"
)

// status tells others by HTTP how the pipeline does.
type status struct {
	addr   string // where it listens, if it does
	server *http.Server
	ended  sync.WaitGroup
	stop   context.CancelFunc
	rates  *metrics.Rates
	log    *slog.Logger
	to     listening
	// perShard makes the metrics tell the sinks' shards too.
	perShard bool

	mu      sync.Mutex
	current *bridge.Pipeline
	sources map[string]bridge.Source
	console *console.Console // of current; nil when nothing is served
}

// serve listens, if there is an address to listen on. With perShard the metrics
// tell the sinks' shards too.
func serve(to listening, perShard bool, log *slog.Logger) (*status, error) {
	if err := to.check(); err != nil {
		return nil, usageError{err}
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &status{stop: stop, log: log, to: to, perShard: perShard}
	s.rates = metrics.NewRates(s)
	if to.addr == "" {
		return s, nil
	}
	handler, err := s.handler()
	if err != nil {
		return nil, err
	}
	l, server, err := to.listen(ctx, handler, log)
	if err != nil {
		return nil, err
	}
	s.addr, s.server = l.Addr().String(), server
	s.ended.Go(func() { s.rates.Run(ctx) })
	s.ended.Go(func() { _ = s.server.Serve(l) })
	log.Info("status is served", "address", s.addr)
	return s, nil
}

// close stops listening.
func (s *status) close() {
	s.stop()
	s.show(nil, nil)
	if s.server != nil {
		_ = s.server.Close()
	}
	s.ended.Wait()
}

// show makes a pipeline and its sources the ones that are told about.
func (s *status) show(p *bridge.Pipeline, sources map[string]bridge.Source) {
	var c *console.Console
	if p != nil && s.server != nil {
		var err error
		if c, err = console.New(console.Config{Pipeline: p, Title: "mqtt2kinesis", Logger: s.log, Hosts: s.to.names()}); err != nil {
			s.log.Warn("no console", "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.console != nil {
		s.console.Close()
	}
	s.current, s.sources, s.console = p, sources, c
}

// serveConsole shows the console of the current pipeline. It changes nothing.
func (s *status) serveConsole(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	c := s.console
	s.mu.Unlock()
	if c == nil {
		answer(w, http.StatusServiceUnavailable, "not started")
		return
	}
	http.StripPrefix("/console", c).ServeHTTP(w, r)
}

// Stats implements metrics.Source.
func (s *status) Stats() bridge.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return bridge.Stats{}
	}
	return s.current.Stats()
}

// Config tells the metrics which sinks there are.
func (s *status) Config() bridge.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return bridge.Config{}
	}
	return s.current.Config()
}

func (s *status) handler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(), exporter.WithProducer(histograms.New(s)))
	if err != nil {
		return nil, err
	}
	if _, err := metrics.Register(s, metric.NewMeterProvider(metric.WithReader(reader)).Meter("sluice"), metrics.Options{PerShard: s.perShard}); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /trace", s.serveTrace)
	mux.HandleFunc("/console/", s.serveConsole)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, struct {
			Stats console.Counts   `json:"stats"`
			Rates metrics.Snapshot `json:"rates"`
		}{console.CountsOf(s.Stats()), s.rates.Snapshot()})
	})
	return mux, nil
}

func (s *status) readyz(w http.ResponseWriter, r *http.Request) {
	reasons := s.unready(r.Context())
	if len(reasons) > 0 {
		answer(w, http.StatusServiceUnavailable, reasons)
		return
	}
	answer(w, http.StatusOK, "ready")
}

// stuckAfter is how long a record may hold back a source before that counts as a
// fault. A window that is full for moments is one that is used.
const stuckAfter = 15 * time.Second

// unready returns why the bridge is not ready, by part: the pipeline has not begun,
// a source is not connected or waits for a record that is not stored, or a sink is
// known not to take records.
func (s *status) unready(ctx context.Context) map[string]string {
	s.mu.Lock()
	p, sources := s.current, s.sources
	s.mu.Unlock()
	if p == nil {
		return map[string]string{"pipeline": "not started"}
	}
	reasons := map[string]string{}
	select {
	case <-p.Ready():
	default:
		reasons["pipeline"] = "starting"
	}
	for name, source := range sources {
		if c, ok := source.(bridge.Checker); ok {
			if err := c.Check(ctx); err != nil && !errors.Is(err, context.Canceled) {
				reasons["sources."+name] = err.Error()
			}
		}
	}
	stats, stuck := p.Stats(), false
	for name, sink := range stats.Sinks {
		if sink.Health.State == bridge.Disconnected {
			reasons["sinks."+name] = sink.Health.Reason
		}
		stuck = stuck || !sink.Queue.Oldest.IsZero() && time.Since(sink.Queue.Oldest) > stuckAfter
	}
	for name, source := range stats.Sources {
		if h := source.Health; stuck && h.State == bridge.Connected && h.Reason != "" {
			reasons["sources."+name] = h.Reason
		}
	}
	return reasons
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
