package rule

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluiceio/sluice/bridge"
)

// Config is a rule: a statement, and what to do with its rows.
type Config struct {
	// Name is the rule's name, as errors show it; it is also the value of the
	// column metadata.rule_id.
	Name string
	// SQL is the statement.
	SQL string
	// Actions are carried out for every row, in their order. Without any, the
	// rule makes no records.
	Actions []Action
	// Engine holds the functions, limits and settings; nil means an engine of
	// the default configuration for this rule alone. Rules that are to share the
	// key-value store need the same engine.
	Engine *Engine
}

// Validate reports all that is wrong with the configuration. The faults of the
// statement are *SyntaxError.
func (c Config) Validate() error {
	_, err := New(c)
	return err
}

// Rule is a compiled rule. It is immutable and safe for concurrent use, and
// implements [bridge.Rule].
type Rule struct {
	config  Config
	prog    *program
	actions []*action
}

var _ bridge.Rule = (*Rule)(nil)

// New compiles a rule. The error names everything that is wrong; errors.As finds
// a *SyntaxError in it when the statement is at fault.
func New(cfg Config) (*Rule, error) {
	engine := cfg.Engine
	if engine == nil {
		var err error
		if engine, err = NewEngine(EngineConfig{}); err != nil {
			return nil, err
		}
	}
	p, err := compile(cfg.Name, cfg.SQL, engine, false)
	if err != nil {
		return nil, named(cfg.Name, err)
	}
	r := &Rule{config: cfg, prog: p}
	var errs []error
	for i, a := range cfg.Actions {
		compiled, err := compileAction(p, a)
		if err != nil {
			errs = append(errs, fmt.Errorf("field Actions[%d]: %w", i, err))
			continue
		}
		r.actions = append(r.actions, compiled)
	}
	return r, named(cfg.Name, errors.Join(errs...))
}

func named(rule string, err error) error {
	if err == nil || rule == "" {
		return err
	}
	return fmt.Errorf("rule %s: %w", rule, err)
}

// Name returns the rule's name.
func (r *Rule) Name() string { return r.prog.name }

// SQL returns the statement as it was given.
func (r *Rule) SQL() string { return r.config.SQL }

// Actions returns the actions as they were given.
func (r *Rule) Actions() []Action { return slices.Clone(r.config.Actions) }

// Filters returns the topic filters and event topics of FROM. Events have the
// names that EMQX uses since 5.10.
func (r *Rule) Filters() []string { return slices.Clone(r.prog.filters) }

// Warnings returns what the compiler found odd, but not wrong.
func (r *Rule) Warnings() []*SyntaxError { return slices.Clone(r.prog.warnings) }

// String returns the statement in its canonical form.
func (r *Rule) String() string { return r.prog.stmt.String() }

// Apply appends to out the records that the actions make of m's rows. Its errors
// are *EvalError.
func (r *Rule) Apply(out *bridge.Batch, m *bridge.Message) error {
	state := r.prog.get()
	state.begin(m)
	state.out, state.actions = out, r.actions
	_, err := state.evaluate(emitRecords)
	state.out, state.actions = nil, nil
	r.prog.release(state)
	return err
}

// Each calls yield for every row that the statement makes of m, whatever the
// actions. An error of yield ends it and is returned; others are *EvalError.
func (r *Rule) Each(m *bridge.Message, yield func(*Row) error) error {
	state := r.prog.get()
	defer r.prog.release(state)
	state.begin(m)
	_, err := state.evaluate(func(r *run) error { return yield(&r.row) })
	return err
}

// emitRecords makes the records of the run's row.
func emitRecords(r *run) error {
	for _, a := range r.actions {
		if r.see != nil {
			a.seeTemplates(r)
		}
		if err := a.record(r, r.out); err != nil {
			return err
		}
	}
	return nil
}
