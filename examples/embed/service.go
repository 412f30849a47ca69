package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"sync"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
)

// ruleName is the one rule that the service has.
const ruleName = "air"

// firstSQL is its statement until somebody puts another one in its place.
const firstSQL = `SELECT payload.temp AS temp, dew_point(payload.temp, payload.humidity) AS dew_point, topic ` +
	`FROM "house/+/air" WHERE payload.humidity > 0`

// service is a service with a pipeline inside.
type service struct {
	engine    *rule.Engine
	pipeline  *bridge.Pipeline
	console   *console.Console
	listening chan struct{} // closed when the source is ready

	mu  sync.Mutex
	sql string // of the rule
}

func newService(source bridge.Source, sink bridge.Sink, log *slog.Logger) (*service, error) {
	s := &service{listening: make(chan struct{})}
	var err error
	s.engine, err = rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{rule.Func2("dew_point", dewPoint)}})
	if err != nil {
		return nil, err
	}
	first, err := s.compile(firstSQL)
	if err != nil {
		return nil, err
	}
	s.sql = firstSQL
	var once sync.Once
	s.pipeline, err = bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"devices": source},
		Rules:   map[string]bridge.Rule{ruleName: first},
		Sinks:   map[string]bridge.Sink{"kinesis": sink},
		Logger:  log,
		Hooks: bridge.Hooks{OnHealth: func(kind, _ string, h bridge.Health) {
			if kind == "source" && h.State == bridge.Connected {
				once.Do(func() { close(s.listening) })
			}
		}},
	})
	if err != nil {
		return nil, err
	}
	s.console, err = console.New(console.Config{
		Pipeline: s.pipeline, Engine: s.engine, Title: "Greenhouse", Logger: log,
		Authorize: authorize, // the same as for the service's own pages
	})
	return s, err
}

// dewPoint is the temperature at which air with this relative humidity (percent)
// gets wet, by the Magnus formula.
func dewPoint(_ *rule.Call, temp, humidity float64) (any, error) {
	if humidity <= 0 || humidity > 100 {
		return nil, fmt.Errorf("a humidity of %v %% cannot be", humidity)
	}
	g := math.Log(humidity/100) + 17.62*temp/(243.12+temp)
	return math.Round(243.12*g/(17.62-g)*10) / 10, nil
}

func (s *service) compile(sql string) (bridge.Rule, error) {
	return rule.New(rule.Config{
		Name: ruleName, SQL: sql, Engine: s.engine,
		Actions: []rule.Action{{Sink: "kinesis", Key: "${topic}", UndefinedKey: rule.KeyTopic}},
	})
}

// handler is what the service serves.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/console/", http.StripPrefix("/console", s.console))
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /rule", s.showRule)
	mux.HandleFunc("PUT /rule", s.changeRule)
	return mux
}

// authorize is the place to ask who it is. This program listens on the loopback
// interface only, and refuses pages elsewhere that have made their name lead here.
func authorize(r *http.Request) error { return console.CheckHost(r, nil) }

func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	for name, sink := range s.pipeline.Stats().Sinks {
		if sink.Health.State == bridge.Disconnected {
			http.Error(w, name+": "+sink.Health.Reason, http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = io.WriteString(w, "ok\n")
}

func (s *service) showRule(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(w, s.sql+"\n")
}

// changeRule puts another statement into service. What is wrong with it is told
// with its place, and the rule stays as it is.
func (s *service) changeRule(w http.ResponseWriter, r *http.Request) {
	if err := authorize(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	changed, err := s.compile(string(text))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.pipeline.SetRule(ruleName, changed); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.sql = string(text)
	w.WriteHeader(http.StatusNoContent)
}
