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
	"github.com/sluiceio/sluice/internal/smallfile"
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

	mu   sync.Mutex
	good *config.Definition // the last that was ready
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
	var to listening
	to.define(f)
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	if err := to.check(); err != nil {
		return usageError{err}
	}
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{
		path: *path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.log,
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
	if d.status, err = serve(to, d.telemetry.perShard, d.log); err != nil {
		return err
	}
	defer d.status.close()
	for {
		again, err := d.pipeline(ctx)
		switch {
		case ctx.Err() != nil || !again && (err == nil || d.lastGood() == nil || d.lastGood() == d.def):
			return err
		case !again:
			d.log.Error("the definition cannot be run; going back to the last one that was ready", "error", err)
			d.def = d.lastGood()
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
	text, err := smallfile.Read(path)
	d.files[path] = string(text)
	return text, err
}

// changed reports whether the file of the definition or one of its secrets is not
// what it was when it was loaded.
func (d *daemon) changed() bool {
	for path, before := range d.files {
		if text, _ := smallfile.Read(path); string(text) != before {
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
	cfg.LogPayload = d.telemetry.logPayload
	p, err := bridge.New(cfg)
	if err != nil {
		return false, err
	}
	if d.telemetry.tracer != nil {
		p.Trace(d.telemetry.tracer)
	}
	d.status.show(p, cfg.Sources)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stopped := showDrain(ctx, p, d.log)
	defer stopped()
	var others sync.WaitGroup
	others.Go(func() { d.awaitReady(ctx, d.def) })
	others.Go(func() {
		again = d.follow(ctx, p)
		stop()
	})
	err = p.Run(ctx)
	stopped() // before stop, as a pipeline that has ended is not drained
	stop()
	others.Wait()
	for name, s := range p.Stats().Sinks {
		d.log.Info("sink has stopped", "sink", name, "stored", s.Ended[bridge.Stored], "refused", s.Ended[bridge.Refused], "dead_lettered", s.Ended[bridge.DeadLettered],
			"dropped", s.Ended[bridge.Dropped]+s.Ended[bridge.Expired], "records_left", s.Ended[bridge.Abandoned]) // these come again
	}
	return again, d.withoutBuffered(err)
}

// withoutBuffered returns the errors of a run but that of records that are safe in
// buffers on disk: the next run goes on with them.
func (d *daemon) withoutBuffered(err error) error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var rest []error
	for _, err := range all {
		left, safe := errors.AsType[*bridge.DrainError](err)
		if safe {
			for name := range left.Left {
				safe = safe && d.def.Buffered(name)
			}
		}
		if !safe {
			rest = append(rest, err)
			continue
		}
		for name, n := range left.Left {
			d.log.Info("records wait in the buffer on disk for the next start", "sink", name, "records_left", n)
		}
	}
	return errors.Join(rest...)
}

// awaitReady says when all sources are connected, and notes that the definition is
// a good one.
func (d *daemon) awaitReady(ctx context.Context, def *config.Definition) {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		if len(d.status.unready(ctx)) == 0 && ctx.Err() == nil {
			d.log.Info("bridge is ready", "config", d.path)
			d.mu.Lock()
			d.good = def
			d.mu.Unlock()
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *daemon) lastGood() *config.Definition {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.good
}

// reloadTimeout bounds a reload. What it waits for longest are the writes of a sink
// that is replaced, and what a removed sink has still to write.
const reloadTimeout = time.Minute

// reload is a change of the running pipeline that is under way.
type reload struct {
	def     *config.Definition
	cancel  context.CancelFunc
	done    chan struct{} // closed when what follows is set
	changes config.Changes
	err     error
}

// follow applies changes of the definition and reports whether one takes a new
// pipeline. A change that comes while another is under way supersedes it.
func (d *daemon) follow(ctx context.Context, p *bridge.Pipeline) (restart bool) {
	var tick <-chan time.Time
	if d.watch > 0 {
		t := time.NewTicker(d.watch)
		defer t.Stop()
		tick = t.C
	}
	current := &reload{}
	for {
		select {
		case <-ctx.Done():
			current.stop()
			return false
		case <-current.done:
			if d.finish(current) {
				return true
			}
			current = &reload{}
			continue
		case <-d.hup:
		case <-tick:
			if !d.changed() {
				continue
			}
		}
		if current.stop() && d.finish(current) {
			return true
		}
		if current = d.begin(ctx, p); current == nil {
			current = &reload{}
		}
	}
}

// begin starts to apply the definition as it is now; nil if it is wrong.
func (d *daemon) begin(ctx context.Context, p *bridge.Pipeline) *reload {
	def, err := d.load()
	if err != nil {
		d.log.Error("the definition is wrong; everything stays as it was", "error", err)
		return nil
	}
	d.warn(def)
	r := &reload{def: def, done: make(chan struct{})}
	ctx, r.cancel = context.WithTimeout(ctx, reloadTimeout)
	before := d.def
	d.log.Info("definition is being applied")
	go func() {
		defer close(r.done)
		r.changes, r.err = def.Apply(ctx, p, before, d.log)
	}()
	return r
}

// stop ends a reload that is under way and reports whether there was one.
func (r *reload) stop() bool {
	if r.done == nil {
		return false
	}
	r.cancel()
	<-r.done
	return true
}

// finish takes over what a reload has done. One that was refused has changed
// nothing, and is tried again by the next.
func (d *daemon) finish(r *reload) (restart bool) {
	r.cancel()
	switch {
	case errors.Is(r.err, config.ErrRestart):
		d.log.Info("definition loaded; the pipeline is drained and started again", "changes", r.changes.String(), "reason", r.err)
		d.def = r.def
		return true
	case errors.Is(r.err, bridge.ErrDrainTimeout): // the change has happened
		d.log.Warn("definition loaded; a sink that it removes has not written everything", "changes", r.changes.String(), "error", r.err)
	case errors.Is(r.err, context.Canceled):
		d.log.Info("the definition was not applied: a newer one takes its place, or the bridge stops", "changes", r.changes.String())
		return false
	case r.err != nil:
		d.log.Error("the definition cannot be applied; everything stays as it was", "changes", r.changes.String(), "error", r.err)
		return false
	default:
		d.log.Info("definition loaded", "changes", r.changes.String())
	}
	d.mu.Lock()
	if d.good == d.def {
		d.good = r.def
	}
	d.mu.Unlock()
	d.def = r.def
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
				left += s.Queue.Waiting + s.Queue.Inflight
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
	connect := f.Bool("connect", false, "also ask each broker and sink whether it can be reached and would take the bridge")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{path: *path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.log}
	def, err := d.load()
	if err != nil {
		return usageError{err}
	}
	for _, w := range def.Warnings() {
		fmt.Fprintln(p.stderr, w)
	}
	verdict := "is right"
	if *connect {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := def.CheckConnections(ctx, d.log); err != nil {
			return fmt.Errorf("%s cannot be run now:\n%w", *path, err)
		}
		verdict += ", and all that it names can be reached"
	}
	if n := len(def.Warnings()); n > 0 {
		verdict += fmt.Sprintf(" (warnings: %d)", n)
	}
	_, err = fmt.Fprintf(p.stdout, "%s %s; rules: %s\n", *path, verdict, strings.Join(def.Rules(), ", "))
	return err
}
