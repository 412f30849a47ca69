package console

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// route is an operation of the API. Those that are guarded need Config.Authorize.
type route struct {
	method, path string
	guarded      bool
	handler      http.HandlerFunc
}

func (c *Console) routes() []route {
	return []route{
		{"GET", "openapi.json", false, c.openAPI},
		{"GET", "topology", false, c.topology},
		{"GET", "snapshot", false, c.snapshot},
		{"GET", "stream", false, limited(make(chan struct{}, maxStreams), c.stream)},
		{"POST", "test", false, c.test},
		{"POST", "check/{name}", false, c.check},
		{"PUT", "rules/{name}/enabled", true, c.enable("rule", c.cfg.Pipeline.EnableRule)},
		{"POST", "rules/{name}/reset", true, c.resetRule},
		{"POST", "trace", true, limited(make(chan struct{}, maxTraces), c.trace)},
		{"PUT", "sinks/{name}/enabled", true, c.enable("sink", c.cfg.Pipeline.EnableSink)},
		{"GET", "deadletters/{name}", true, c.deadLetters},
		{"POST", "deadletters/{name}/replay", true, c.replay},
		{"POST", "deadletters/{name}/delete", true, c.deleteDeadLetters},
	}
}

// Switch is the body of a request that switches something on or off.
type Switch struct {
	Enabled bool `json:"enabled"`
}

// Done is the reply to a change.
type Done struct {
	OK bool `json:"ok"`
}

func (c *Console) openAPI(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, embedded, "static/openapi.json")
}

const (
	// maxBody bounds the bytes of a request, and readTimeout the time that it
	// may take to arrive.
	maxBody     = 1 << 20
	readTimeout = 10 * time.Second
)

// read decodes the body; it has replied when it returns false.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Now().Add(readTimeout)) // not every server can
	defer func() { _ = out.SetReadDeadline(time.Time{}) }()
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("the body: %w", err))
		return false
	}
	return true
}

func (c *Console) enable(kind string, change func(name string, on bool) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body Switch
		if !read(w, r, &body) {
			return
		}
		name := r.PathValue("name")
		c.changed(w, r, change(name, body.Enabled), kind+" switched", slog.String(kind, name), slog.Bool("enabled", body.Enabled))
	}
}

func (c *Console) resetRule(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	c.changed(w, r, c.cfg.Pipeline.ResetRule(name), "rule's counters reset", slog.String("rule", name))
}

// changed logs a change and replies.
func (c *Console) changed(w http.ResponseWriter, r *http.Request, err error, what string, attrs ...slog.Attr) {
	if err != nil {
		fail(w, http.StatusNotFound, err)
		return
	}
	attrs = append(attrs, slog.String("peer", r.RemoteAddr))
	c.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "console: "+what, attrs...)
	reply(w, Done{true})
}

// CheckResult is what a source or sink says of its condition.
type CheckResult struct {
	OK      bool    `json:"ok"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (c *Console) check(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	out := CheckResult{OK: true}
	if err := c.cfg.Pipeline.Check(r.Context(), r.PathValue("name")); err != nil {
		out = CheckResult{Error: err.Error()}
	}
	out.Seconds = time.Since(start).Seconds()
	reply(w, out)
}
