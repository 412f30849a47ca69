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
	odd     []ActionWarning
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
	p, err := compile(cfg.Name, cfg.SQL, engine, nil)
	if err != nil {
		return nil, named(cfg.Name, err)
	}
	r := &Rule{config: cfg, prog: p}
	var errs []error
	for i, a := range cfg.Actions {
		compiled, err := compileAction(p, a)
		if err != nil {
			errs = append(errs, fieldError(fmt.Sprintf("Actions[%d]", i), err))
			continue
		}
		r.actions = append(r.actions, compiled)
		for _, w := range compiled.odd {
			w.Action = i
			r.odd = append(r.odd, w)
		}
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

var _ bridge.Targeter = (*Rule)(nil)

// Targets returns where the actions' records go and what they have; see
// bridge.Targeter. Every record of an action has data.
func (r *Rule) Targets() []bridge.Target {
	out := make([]bridge.Target, 0, len(r.config.Actions))
	for i := range r.config.Actions {
		a := &r.config.Actions[i]
		out = append(out, bridge.Target{Sink: a.Sink, Key: a.Key != "", Dest: a.Dest != "", HashKey: a.HashKey != "", Data: true})
	}
	return out
}

// Filters returns the topic filters and event topics of FROM. Events have the
// names that EMQX uses since 5.10.
func (r *Rule) Filters() []string { return slices.Clone(r.prog.filters) }

// Warnings returns what the compiler found odd, but not wrong.
func (r *Rule) Warnings() []*SyntaxError { return slices.Clone(r.prog.warnings) }

// ActionWarnings returns what is odd about the templates of the actions.
func (r *Rule) ActionWarnings() []ActionWarning { return slices.Clone(r.odd) }

// String returns the statement in its canonical form.
func (r *Rule) String() string { return r.prog.stmt.String() }

// Apply adds to out the records that the actions make of m's rows: all of them
// or, with an error, none. Its errors are *EvalError.
func (r *Rule) Apply(out *bridge.Out, m *bridge.Message) error {
	return r.apply(out, m, nil)
}

func (r *Rule) apply(out *bridge.Out, m *bridge.Message, see func(name, text, result string)) error {
	state := r.prog.get()
	state.begin(m)
	state.out, state.actions, state.see = out, r.actions, see
	if see != nil {
		state.seeColumns()
	}
	_, err := state.evaluate(emitRecords)
	if err == nil {
		for i := range state.records {
			out.Add(state.records[i])
		}
	}
	clear(state.records)
	if state.records = state.records[:0]; cap(state.records) > maxRecords {
		state.records = nil
	}
	state.out, state.actions, state.see = nil, nil, nil
	r.prog.release(state)
	return err
}

// maxRecords is how many records a run keeps room for.
const maxRecords = 1024

// Each calls yield for every row that the statement makes of m, whatever the
// actions. An error of yield ends it and is returned; others are *EvalError.
func (r *Rule) Each(m *bridge.Message, yield func(*Row) error) error {
	state := r.prog.get()
	defer r.prog.release(state)
	state.begin(m)
	_, err := state.evaluate(func(r *run) error { return yield(&r.row) })
	return err
}

// emitRecords makes the records of the run's row. They wait until all rows are done.
func emitRecords(r *run) error {
	for _, a := range r.actions {
		if r.see != nil {
			a.seeTemplates(r)
		}
		rec, err := a.record(r, r.out)
		if err != nil {
			return err
		}
		r.records = append(r.records, rec)
	}
	return nil
}
