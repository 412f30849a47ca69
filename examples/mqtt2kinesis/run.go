package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/rule/sparkplug"
)

// daemon runs what a definition describes, and follows its changes.
type daemon struct {
	path      string
	opts      config.Options
	log       *slog.Logger
	status    *status
	telemetry *telemetry
	watch     time.Duration
	hup       <-chan os.Signal

	files map[string]string // what was read when the definition was last loaded, by path
	def   *config.Definition
	// before is the definition of the pipeline before, until that of def is ready.
	before *config.Definition
}

// newEngine makes the engine of all rules.
func newEngine() (*rule.Engine, error) {
	return rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{sparkplug.Function()}})
}

// runDefinition is the command run.
func (p *program) runDefinition(ctx context.Context, args []string) error {
	f := p.flags("run", "-config FILE [-watch 5s] [-listen 127.0.0.1:8080]")
	path := f.String("config", "", "`file` of the definition, YAML or JSON")
	watch := f.Duration("watch", 0, "how often to look whether the file, or one that ${file:…} names, has changed (default: load it again on SIGHUP only)")
	listen := f.String("listen", "", "`address` for /livez, /readyz, /metrics, /stats, /trace and /console/ (default none)")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{
		path: *path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.logger(),
		watch: *watch, hup: p.hup,
	}
	def, err := d.load()
	if err != nil {
		return usageError{err}
	}
	d.warn(def)
	d.def = def
	if d.telemetry, err = newTelemetry(ctx, p.lookup, d.log); err != nil {
		return err
	}
	defer d.telemetry.close()
	if d.status, err = serve(*listen, d.telemetry.perShard, d.log); err != nil {
		return err
	}
	defer d.status.close()
	for {
		again, err := d.pipeline(ctx)
		switch {
		case ctx.Err() != nil || !again && (err == nil || d.before == nil):
			return err
		case !again:
			d.log.Error("the definition cannot be run; going back to the one before", "error", err)
			d.def, d.before = d.before, nil
		case errors.Is(err, bridge.ErrDrainTimeout):
			// What is left is not acknowledged, so the new pipeline gets it again.
			d.log.Warn("not everything was written before the pipeline was stopped; the new one goes on with the rest", "error", err)
		case err != nil:
			return err
		}
	}
}

// load reads the definition.
func (d *daemon) load() (*config.Definition, error) {
	if d.path == "" {
		return nil, errors.New("-config is missing: name the file of the definition")
	}
	d.files = map[string]string{}
	d.opts.ReadFile = d.readFile
	text, err := d.readFile(d.path)
	if err != nil {
		return nil, err
	}
	return config.Parse(d.path, text, d.opts)
}

// warn logs what is odd about a definition.
func (d *daemon) warn(def *config.Definition) {
	for _, w := range def.Warnings() {
		d.log.Warn(w.Error())
	}
}

// readFile reads a file and remembers what was in it.
func (d *daemon) readFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	d.files[path] = string(text)
	return text, err
}

// changed tells whether the file of the definition or one of its secrets is not
// what it was when it was loaded.
func (d *daemon) changed() bool {
	for path, before := range d.files {
		if text, _ := os.ReadFile(path); string(text) != before {
			return true
		}
	}
	return false
}

// pipeline runs the definition until ctx is done, or until the definition has
// changed so that it takes a new pipeline.
func (d *daemon) pipeline(ctx context.Context) (again bool, err error) {
	cfg, err := d.def.Build(d.log)
	if err != nil {
		return false, err
	}
	cfg.Tracer, cfg.LogPayload = d.telemetry.tracer, d.telemetry.logPayload
	p, err := bridge.New(cfg)
	if err != nil {
		return false, err
	}
	d.status.show(p, cfg.Sources)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stopped := showDrain(ctx, p, d.log)
	defer stopped()
	var others sync.WaitGroup
	ready := false
	others.Go(func() { ready = d.awaitReady(ctx) })
	others.Go(func() {
		again = d.follow(ctx, p)
		stop()
	})
	err = p.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) && !errors.Is(err, bridge.ErrDrainTimeout) {
		err = nil // it was stopped before it had begun
	}
	stopped() // before stop, as a pipeline that has ended is not drained
	stop()
	others.Wait()
	if ready && !again {
		d.before = nil
	}
	for name, s := range p.Stats().Sinks {
		d.log.Info("sink has stopped", "sink", name, "stored", s.Success, "failed", s.Failed,
			"dropped", s.Dropped.Total()-s.Dropped.Stopped, "records_left", s.Dropped.Stopped) // these come again
	}
	return again, err
}

// awaitReady says when all sources are connected, and returns whether they are.
func (d *daemon) awaitReady(ctx context.Context) bool {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		if len(d.status.unready(ctx)) == 0 && ctx.Err() == nil {
			d.log.Info("bridge is ready", "config", d.path)
			return true
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
}

// follow applies changes of the definition and reports whether one takes a new
// pipeline.
func (d *daemon) follow(ctx context.Context, p *bridge.Pipeline) (restart bool) {
	var tick <-chan time.Time
	if d.watch > 0 {
		t := time.NewTicker(d.watch)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-d.hup:
		case <-tick:
			if !d.changed() {
				continue
			}
		}
		if d.reload(ctx, p) {
			return true
		}
	}
}

// reload applies the definition as it is now. One that is wrong changes nothing.
func (d *daemon) reload(ctx context.Context, p *bridge.Pipeline) (restart bool) {
	def, err := d.load()
	if err != nil {
		d.log.Error("the definition is wrong; everything stays as it was", "error", err)
		return false
	}
	d.warn(def)
	changes, err := def.Apply(ctx, p, d.def, d.log)
	switch {
	case errors.Is(err, config.ErrRestart):
		d.log.Info("definition loaded; the pipeline is drained and started again", "changes", changes.String(), "reason", err)
		d.before, d.def = d.def, def
		return true
	case err != nil:
		d.log.Error("not all changes could be made", "changes", changes.String(), "error", err)
	default:
		d.log.Info("definition loaded", "changes", changes.String())
	}
	d.def = def
	return false
}

// showDrain logs how much is left to write from when ctx is done until the
// function that it returns is called.
func showDrain(ctx context.Context, p *bridge.Pipeline, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		select {
		case <-ctx.Done():
		case <-done:
			return
		}
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			left := 0
			for _, s := range p.Stats().Sinks {
				left += s.Queuing + s.Inflight
			}
			log.Info("draining", "records_left", left)
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		shown.Wait()
	})
}

// checkDefinition is the command check.
func (p *program) checkDefinition(ctx context.Context, args []string) error {
	f := p.flags("check", "-config FILE [-connect]")
	path := f.String("config", "", "`file` of the definition, YAML or JSON")
	connect := f.Bool("connect", false, "also ask each sink whether it is reachable and would take records")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{path: *path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.logger()}
	def, err := d.load()
	if err != nil {
		return usageError{err}
	}
	for _, w := range def.Warnings() {
		fmt.Fprintln(p.stderr, w)
	}
	fmt.Fprintf(p.stdout, "%s is right; rules: %s\n", *path, strings.Join(def.Rules(), ", "))
	if !*connect {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := def.CheckSinks(ctx, d.log); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "all sinks can be reached and would take records; brokers were not asked")
	return nil
}
