package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sluiceio/sluice/internal/repeat"
)

// door is the one way to code that is not the pipeline's own: sources, rules,
// sinks, ackers, tracers, hooks and the logger. Nothing is called through it with
// a lock held. A call that panics becomes an error that names the part; one that
// does not return in time is said so and left behind; hooks and the logger run on
// a goroutine of their own, so that a slow one holds nothing up.
type door struct {
	log    *slog.Logger
	teller teller
	panics repeat.Lines
}

// guard calls f. If that panics, guard returns an error that names the part, such
// as `sink "kinesis"`, and what was called. It logs the stack as well, unless that
// was done lately for the same call: it may panic with every message.
func (d *door) guard(kind, name, verb string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(kind, name, verb, p)
		}
	}()
	f()
	return nil
}

func (d *door) panicked(kind, name, verb string, p any) error {
	part := partName(kind, name)
	err := fmt.Errorf("%s panicked in %s: %s", part, verb, panicText(p))
	if n, ok := d.panics.Admit(part, verb, 1); ok {
		stack := string(debug.Stack())
		d.teller.tell(func() {
			d.log.Error("a part of the pipeline panicked", "count", n, "error", err.Error(), "stack", stack)
		})
	}
	return err
}

// panicText is the text of what was panicked with, which may itself panic.
func panicText(p any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T", p)
		}
	}()
	return cutError(fmt.Sprint(p))
}

// partName is how errors and logs call a part.
func partName(kind, name string) string {
	if name == "" {
		return kind
	}
	return fmt.Sprintf("%s %q", kind, name)
}

// grace is how long a call may go on after its context is done.
const grace = time.Second

// call calls f, which must return soon after ctx is done. If it does not, call
// logs that and returns the context's error; f goes on by itself.
func (d *door) call(ctx context.Context, kind, name, verb string, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		var err error
		if p := d.guard(kind, name, verb, func() { err = f(ctx) }); p != nil {
			err = p
		}
		_, err = d.readable(kind, name, verb, err)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		d.hangs(kind, name, verb)
		return fmt.Errorf("%s has not returned from %s: %w", partName(kind, name), verb, context.Cause(ctx))
	}
}

// hangs logs that a call does not return; name is "" if it is not known whose.
func (d *door) hangs(kind, name, verb string) {
	var attrs []slog.Attr
	if name != "" {
		attrs = append(attrs, slog.String(kind, name))
	}
	attrs = append(attrs, slog.String("call", verb))
	d.logLine(slog.LevelError, "a part of the pipeline does not return from a call; it is left behind", attrs)
}

// readable returns true and err, or an error that says so if err is one that
// cannot be read, such as a nil pointer in an interface.
func (d *door) readable(kind, name, verb string, err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return false, fmt.Errorf("%s: %s returned a nil %T as an error", partName(kind, name), verb, err)
	}
	panicked := d.guard(kind, name, verb+", in its error", func() {
		_ = err.Error()
		_ = errors.Is(err, ErrPermanent)
	})
	if panicked != nil {
		return false, fmt.Errorf("%s: %s returned a %T that cannot be read", partName(kind, name), verb, err)
	}
	return true, err
}

// teller runs functions one after the other on a goroutine that lives only while
// there are any.
type teller struct {
	mu      sync.Mutex
	waiting []func()
	running bool
	lost    int
	idle    chan struct{} // closed when nothing waits; nil unless somebody wants to know
}

// tellerMax is how many events may wait for a hook or a logger that is slow.
const tellerMax = 1024

// tell runs f soon, after what was told before. It never blocks: what finds too
// much waiting is counted; see untold.
func (t *teller) tell(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= tellerMax {
		t.lost++
		return
	}
	t.waiting = append(t.waiting, f)
	if !t.running {
		t.running = true
		go t.run()
	}
}

func (t *teller) run() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) > 0 {
		batch := t.waiting
		t.waiting = nil
		for _, f := range batch {
			t.mu.Unlock()
			runQuietly(f)
			t.mu.Lock()
		}
	}
	t.running = false
	if t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// runQuietly calls f, and nobody if it panics: it may be the logger itself.
func runQuietly(f func()) {
	defer func() { _ = recover() }()
	f()
}

// untold returns how much was not told because too much waited.
func (t *teller) untold() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// flush waits until everything has been told, but not for long.
func (t *teller) flush() {
	t.mu.Lock()
	if !t.running {
		t.mu.Unlock()
		return
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
}

// logLine logs a line.
func (d *door) logLine(level slog.Level, text string, attrs []slog.Attr) {
	d.teller.tell(func() { d.log.LogAttrs(context.Background(), level, text, attrs...) })
}
