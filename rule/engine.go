package rule

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

// EngineConfig configures an Engine. The zero value is ready for use.
type EngineConfig struct {
	// Functions are the user's own, beside the built-in ones. One of a built-in
	// function's name takes its place.
	Functions []Function
	// Getenv reads what the function getenv asks for, default the process's
	// environment variable EMQXVAR_<name>.
	Getenv func(name string) string
	// LateChecks accepts statements as EMQX does: unknown functions, wrong
	// arguments and the like then fail when a message reaches them, rather than
	// when the rule is compiled.
	LateChecks bool
	// Limits bound what a rule may cost on one message.
	Limits Limits
	// Location is the time zone of the date functions, default time.Local.
	Location *time.Location
	// Metadata are further members of the column metadata, beside rule_id; the
	// default is namespace: "global". Values are as in bridge.Message.Columns.
	Metadata map[string]any
	// Node is the column node, default "sluice@" and the host's name.
	Node string
	// Now is the clock, default time.Now.
	Now func() time.Time
}

// Limits bound what a rule may cost on one message; one that exceeds them fails
// on that message. Zero fields have the defaults.
type Limits struct {
	// JQ is how long a jq program may run, default 10 s, as in EMQX.
	JQ time.Duration
	// KVEntries is how many entries kv_store_put may keep, default 100,000.
	KVEntries int
	// List is how many elements a list may have that a function makes, default
	// 1,000,000.
	List int
	// Memory is how many bytes of strings, lists and maps one evaluation may
	// make, default 16 MiB.
	Memory int
	// Regex is how long a regular expression that needs backtracking may run,
	// default 100 ms; others run in linear time.
	Regex time.Duration
	// Rows is how many items FOREACH may go over, default 100,000.
	Rows int
}

// Validate reports everything that is wrong with the configuration.
func (c EngineConfig) Validate() error {
	_, err := NewEngine(c)
	return err
}

// Engine is what rules share: functions, limits, the key-value store and settings.
// It is safe for concurrent use. Engines share nothing with one another.
type Engine struct {
	functions map[string]*builtin.Function
	limits    Limits
	late      bool
	node      string
	now       func() time.Time
	metadata  map[string]any
	env       *builtin.Env
	id        uint64
}

// NewEngine returns an engine.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	e := &Engine{
		functions: make(map[string]*builtin.Function),
		limits:    cfg.Limits, late: cfg.LateChecks, node: cfg.Node, now: cfg.Now,
		metadata: maps.Clone(cfg.Metadata), id: rand.Uint64(),
	}
	errs := []error{e.setLimits(), e.checkMetadata()}
	for i, f := range cfg.Functions {
		if err := e.register(f); err != nil {
			errs = append(errs, fmt.Errorf("field Functions[%d]: %w", i, err))
		}
	}
	if e.node == "" {
		host, _ := os.Hostname() // without a name the node is just "sluice@"
		e.node = "sluice@" + host
	}
	if e.now == nil {
		e.now = time.Now
	}
	e.env = builtin.NewEnv(builtin.Config{
		Getenv: cfg.Getenv, JQTimeout: cfg.Limits.JQ, Location: cfg.Location, MaxEntries: cfg.Limits.KVEntries,
		MaxList: cfg.Limits.List, Now: cfg.Now, RegexTimeout: cfg.Limits.Regex,
	})
	return e, errors.Join(errs...)
}

func (e *Engine) setLimits() error {
	l := &e.limits
	var errs []error
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{{"KVEntries", &l.KVEntries, 100_000}, {"List", &l.List, 1_000_000}, {"Memory", &l.Memory, value.DefaultLimit}, {"Rows", &l.Rows, 100_000}} {
		if *f.value < 0 {
			errs = append(errs, fmt.Errorf("field Limits.%s: must not be negative", f.name))
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if l.JQ < 0 || l.Regex < 0 {
		errs = append(errs, errors.New("fields Limits.JQ, Limits.Regex: must not be negative"))
	}
	return errors.Join(errs...)
}

func (e *Engine) checkMetadata() error {
	if e.metadata == nil {
		e.metadata = map[string]any{"namespace": "global"}
	}
	if _, err := (*value.Arena)(nil).FromAny(e.metadata); err != nil {
		return fmt.Errorf("field Metadata: %w", err)
	}
	return nil
}

// metadataFor is the column metadata of a rule.
func (e *Engine) metadataFor(rule string) value.Value {
	all := maps.Clone(e.metadata)
	all["rule_id"] = rule
	v, _ := (*value.Arena)(nil).FromAny(all) // was checked with the engine
	return v.Clone()
}

var functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$@~]*(\.[A-Za-z_][A-Za-z0-9_$@~]*)*$`)

func (e *Engine) register(f Function) error {
	switch {
	case !functionName.MatchString(f.Name):
		return fmt.Errorf("%q is not a name of a function", f.Name)
	case f.Call == nil:
		return fmt.Errorf("function %s has no Call", f.Name)
	case e.functions[f.Name] != nil:
		return fmt.Errorf("function %s is there twice", f.Name)
	case f.Min < 0 || f.Min > len(f.Args):
		return fmt.Errorf("function %s: Min must be between 0 and the number of Args", f.Name)
	case f.Variadic && len(f.Args) == 0:
		return fmt.Errorf("function %s: a variadic function needs an Arg", f.Name)
	}
	e.functions[f.Name] = f.builtin()
	return nil
}

// function returns the function with this name.
func (e *Engine) function(name string) (*builtin.Function, bool) {
	if f, ok := e.functions[name]; ok {
		return f, true
	}
	return builtin.Lookup(name)
}

// functionNames returns the names of all functions, sorted.
func (e *Engine) functionNames() []string {
	names := slices.Collect(maps.Keys(e.functions))
	for _, f := range builtin.All() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// bind gives a run what it needs to call functions.
func (e *Engine) bind(r *run) {
	r.call = builtin.Ctx{Env: e.env, Arena: &r.arena, Event: (*runEvent)(r)}
}

// runEvent gives functions the columns of the event of a run.
type runEvent run

// Column returns a column of the event.
func (e *runEvent) Column(name string) value.Value {
	r := (*run)(e)
	if r.msg == nil { // while constants are folded
		return value.Undefined()
	}
	return r.column(columnOf(name))
}
