package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink"
)

// Config holds the options of a Console.
type Config struct {
	// Authorize decides whether a request may change something (switch a rule
	// or sink on or off, reset counters, replay or delete dead letters) or read
	// messages (trace a rule, read dead letters). The error's text is shown to
	// the user. Default nil: nobody may. Requests from pages of other origins
	// are refused in any case.
	Authorize func(*http.Request) error
	// Engine is what the tester's is like, so that it knows functions of the
	// user's (see rule.Engine.Isolated: neither its environment nor its
	// key-value store). Default nil: one of the default configuration.
	Engine *rule.Engine
	// Hosts are the names by which the console is asked for, beside addresses
	// and localhost, such as that of a proxy; "*" stands for any. Requests for
	// other names are refused, because a page elsewhere can make its own name
	// lead here. Default none.
	Hosts []string
	// Logger gets what was changed through the console. Default slog.Default().
	Logger *slog.Logger
	// Pipeline is what is shown.
	Pipeline *bridge.Pipeline
	// Rules says about rules what they do not tell by themselves, by name.
	// Rules of package rule tell their statement.
	Rules map[string]RuleConfig
	// Shards gives the load of a sink's shards, by the sink's name, where the
	// sink is not a sink.Sharder.
	Shards map[string]func() []sink.ShardLoad
	// Sources says about sources what they do not tell by themselves, by name.
	Sources map[string]SourceConfig
	// Title is the page's title, default "Sluice".
	Title string
}

// RuleConfig describes a rule.
type RuleConfig struct {
	// SQL is the statement as its author wrote it.
	SQL string
	// Actions are what is done with its rows.
	Actions []rule.Action
}

// SourceConfig describes a source.
type SourceConfig struct {
	// Subscriptions are the topic filters that it gets messages of. A source
	// with a method Subscriptions() []string tells them by itself.
	Subscriptions []string
}

// Validate reports everything that is wrong with the configuration, each with
// the field's name.
func (c Config) Validate() error {
	var errs []error
	if c.Pipeline == nil {
		errs = append(errs, errors.New("field Pipeline: is nil"))
	}
	for name, f := range c.Shards {
		if f == nil {
			errs = append(errs, fmt.Errorf("field Shards[%q]: is nil", name))
		}
	}
	return errors.Join(errs...)
}

// Console is an http.Handler; make one with New. It serves its page at the root,
// so mount it with http.StripPrefix.
type Console struct {
	cfg    Config
	mux    *http.ServeMux
	hub    *hub
	tester chan struct{} // holds a place for each statement that may run
	ctx    context.Context
	close  context.CancelFunc
}

//go:embed static
var embedded embed.FS

const (
	// maxTests is how many statements the tester runs at once.
	maxTests = 2
	// maxStreams is how many viewers there may be, and maxTraces how many
	// traces.
	maxStreams, maxTraces = 64, 16
)

// New makes a console.
func New(cfg Config) (*Console, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Title == "" {
		cfg.Title = "Sluice"
	}
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		return nil, err
	}
	if cfg.Engine == nil {
		if cfg.Engine, err = rule.NewEngine(rule.EngineConfig{}); err != nil {
			return nil, err
		}
	}
	cfg.Engine = cfg.Engine.Isolated()
	c := &Console{cfg: cfg, mux: http.NewServeMux(), tester: make(chan struct{}, maxTests)}
	c.ctx, c.close = context.WithCancel(context.Background())
	c.hub = newHub(c.ctx, newSampler(cfg))
	c.mux.Handle("GET /", http.FileServerFS(files))
	guard := http.NewCrossOriginProtection()
	for _, r := range c.routes() {
		handler := r.handler
		if r.guarded {
			handler = c.authorized(handler)
		}
		c.mux.Handle(r.method+" /api/"+r.path, guard.Handler(handler))
	}
	return c, nil
}

// Close ends the streams of all viewers. Without it a server's Shutdown waits
// for them: give it to http.Server.RegisterOnShutdown.
func (c *Console) Close() { c.close() }

// policy allows the page nothing but its own files and its own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	if err := c.known(r); err != nil {
		fail(w, http.StatusMisdirectedRequest, err)
		return
	}
	c.mux.ServeHTTP(w, r)
}

// access says why a request may not change anything; nil means that it may.
func (c *Console) access(r *http.Request) error {
	if c.cfg.Authorize == nil {
		return errors.New("this console is read-only: console.Config.Authorize is not set")
	}
	return c.cfg.Authorize(r)
}

func (c *Console) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := c.access(r); err != nil {
			fail(w, http.StatusForbidden, err)
			return
		}
		next(w, r)
	}
}
