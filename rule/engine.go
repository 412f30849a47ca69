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

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

// EngineConfig configures an Engine. The zero value is ready for use.
type EngineConfig struct {
	// Columns are the names of columns that messages have beside EMQX's, those
	// that a source of your own sets in bridge.Message.Columns. Statements may
	// name any; of one that is not known they are warned.
	Columns []string
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

// Limits are the budget of one message in one rule: what the rule may make of it,
// in bytes and in time, before it fails on that message with an error that wraps
// [ErrBudget]. Zero fields have the defaults.
type Limits struct {
	// JQ is how long a jq program may run that does not say so itself, default
	// Time. EMQX lets it run for 10 s; here Time holds in any case.
	JQ time.Duration
	// JQUnbounded lets jq programs make as much data as they like, and use as
	// much time as JQ or the call says. It is for programs of trusted authors
	// only: what a device sends can then fill the memory.
	JQUnbounded bool
	// KVBytes is how many bytes of keys and values kv_store_put may keep, and about
	// how many proc_dict_put keeps before it forgets the oldest, default 64 MiB
	// each, for all rules of the engine together.
	KVBytes int
	// KVEntries is how many entries kv_store_put may keep, default 100,000.
	KVEntries int
	// List is how many elements a list may have that a function makes, default
	// 1,000,000.
	List int
	// Memory is how many bytes one message may cost in one rule: strings, lists,
	// maps and large integers that are made on the way, and all of its records
	// together, rendered, with 192 bytes for each beside its content. The default
	// depends on the message: 100 times its size, at least 4 MiB and at most 16 MiB, or 4 times the
	// size of a larger one.
	Memory int
	// Regex is how long one call of a function may take with a regular expression
	// that needs backtracking, default 100 ms; others run in linear time.
	Regex time.Duration
	// Rows is how many items FOREACH may go over, default 100,000.
	Rows int
	// Time is how long a rule may work on one message, default 500 ms. It is
	// looked at once per MiB of data, and so not at all for small messages.
	Time time.Duration
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
	columns   []string
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
		limits:    cfg.Limits, late: cfg.LateChecks, columns: slices.Clone(cfg.Columns), node: cfg.Node, now: cfg.Now,
		metadata: maps.Clone(cfg.Metadata), id: rand.Uint64(),
	}
	errs := []error{e.setLimits(), e.checkMetadata()}
	for i, f := range cfg.Functions {
		if err := e.register(f); err != nil {
			errs = append(errs, fieldError(fmt.Sprintf("Functions[%d]", i), err))
		}
	}
	if e.node == "" {
		host, _ := os.Hostname() // without a name the node is just "sluice@"
		e.node = "sluice@" + host
	}
	if e.now == nil {
		e.now = time.Now
	}
	env := cfg.Limits.env()
	env.Getenv, env.Location, env.Now = cfg.Getenv, cfg.Location, cfg.Now
	e.env = builtin.NewEnv(env)
	return e, errors.Join(errs...)
}

// WithLimits returns an engine with other limits that shares everything else with e,
// what kv_store_put and proc_dict_put keep included. Rules that are there already
// keep their limits.
func (e *Engine) WithLimits(l Limits) (*Engine, error) {
	c := *e
	c.limits = l
	if err := c.setLimits(); err != nil {
		return nil, err
	}
	c.env = e.env.With(l.env())
	return &c, nil
}

// env returns the limits that functions look at.
func (l *Limits) env() builtin.Config {
	return builtin.Config{
		JQTimeout: l.JQ, JQUnbounded: l.JQUnbounded, MaxBytes: l.KVBytes, MaxEntries: l.KVEntries,
		MaxList: l.List, RegexTimeout: l.Regex,
	}
}

var errNegative = errors.New("must not be negative")

// fieldError is an error about a field of a configuration.
func fieldError(path string, err error) error {
	return fmt.Errorf("field %w", &bridge.FieldError{Path: path, Err: err})
}

func (e *Engine) setLimits() error {
	l := &e.limits
	var errs []error
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{{"KVBytes", &l.KVBytes, 64 << 20}, {"KVEntries", &l.KVEntries, 100_000}, {"List", &l.List, 1_000_000}, {"Memory", &l.Memory, 0}, {"Rows", &l.Rows, 100_000}} {
		if *f.value < 0 {
			errs = append(errs, fieldError("Limits."+f.name, errNegative))
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"JQ", l.JQ}, {"Regex", l.Regex}, {"Time", l.Time}} {
		if f.value < 0 {
			errs = append(errs, fieldError("Limits."+f.name, errNegative))
		}
	}
	return errors.Join(errs...)
}

// The default of Limits.Memory. The least is for rows of small messages, which
// repeat the message: 200 readings in 20 KB make 200 records of 20 KB by the default
// template. With a least of 1 MiB a hundred of them would fail.
const (
	memoryFactor = 100
	minMemory    = 4 << 20
	maxMemory    = 16 << 20
	largeFactor  = 4
)

// memory returns the budget in bytes of a message.
func (l *Limits) memory(m *bridge.Message) int {
	if l.Memory > 0 {
		return l.Memory
	}
	size := len(m.Payload) + len(m.Topic)
	for _, x := range m.Columns {
		switch x := x.(type) {
		case string:
			size += len(x)
		case []byte:
			size += len(x)
		}
	}
	return max(min(max(memoryFactor*size, minMemory), maxMemory), largeFactor*size)
}

func (e *Engine) checkMetadata() error {
	if e.metadata == nil {
		e.metadata = map[string]any{"namespace": "global"}
	}
	if _, err := (*value.Arena)(nil).FromAny(e.metadata); err != nil {
		return fieldError("Metadata", err)
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
