package rule

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

// run is the state of one evaluation of a program. Runs are kept in a pool of
// their program, so that an evaluation does not allocate.
type run struct {
	prog *program
	msg  *bridge.Message

	arena value.Arena
	call  builtin.Ctx
	clock time.Time // of now, zero before it was asked for

	// frames holds the columns selected so far: those of SELECT or FOREACH, and
	// those of DO.
	frames [2][]value.Value
	item   value.Value
	stack  []value.Value // arguments of functions
	row    Row

	docs [2]document
	// What the rows go to, when they become records.
	out     *bridge.Out
	actions []*action
	records []bridge.Record
	see     func(name, text, result string) // told each step; nil for nearly all messages

	dests map[string]string // names of destinations already seen
	names []string          // for rows with columns that only the message knows
}

// The frames of a run.
const (
	frameSelect = iota
	frameDo
)

// begin makes the run ready for a message.
func (r *run) begin(m *bridge.Message) {
	r.msg = m
	r.clock = time.Time{}
	r.arena.Limit = r.prog.engine.limits.memory(m)
	r.docs[docPayload].state = unread
}

// end drops what the run holds of the message.
func (r *run) end() {
	r.arena.Reset()
	r.msg = nil
	clear(r.frames[frameSelect])
	clear(r.frames[frameDo])
	for i := range r.docs {
		r.docs[i].drop()
	}
	clear(r.stack[:cap(r.stack)])
	r.stack = r.stack[:0]
	r.item = value.Undefined()
}

// now is the time of the evaluation, the same for the whole of it.
func (r *run) now() time.Time {
	if r.clock.IsZero() {
		r.clock = r.prog.engine.now()
	}
	return r.clock
}

// evaluate calls emit for every row that the statement makes of m. The rows are
// valid during the call only. An error of emit ends the evaluation.
func (r *run) evaluate(emit func(*run) error) (outcome, error) {
	p := r.prog
	if err := r.assign(p.fields, p.clause); err != nil {
		return failed, err
	}
	if r.see != nil {
		r.seeFields(p.clause, p.fields)
	}
	if p.where != nil {
		ok, err := p.where.test(r)
		if err != nil {
			return failed, p.fail("WHERE", p.stmt.Where, err)
		}
		if r.see != nil {
			r.seeCond("WHERE", p.where, p.stmt.Where, ok)
		}
		if !ok {
			return filtered, nil
		}
	}
	if !p.foreach {
		return r.finish(emit)
	}
	items, err := r.items()
	if err != nil {
		return failed, err
	}
	if r.see != nil {
		r.seeItems(items)
	}
	return r.each(items, emit)
}

// outcome is how an evaluation ended.
type outcome uint8

const (
	passed   outcome = iota // it made rows
	filtered                // WHERE was false
	empty                   // FOREACH had no items, or INCASE let none pass
	failed                  // there was an error
)

func (r *run) finish(emit func(*run) error) (outcome, error) {
	if err := r.arena.Err(); err != nil {
		return failed, r.prog.fault(r.prog.clause, err)
	}
	r.row.shape = &r.prog.row
	if r.see != nil {
		r.seeRow()
	}
	if err := emit(r); err != nil {
		return failed, err
	}
	return passed, nil
}

// items returns what FOREACH goes over. A text column, such as the payload
// itself, is read as JSON.
func (r *run) items() ([]value.Value, error) {
	v := r.frames[frameSelect][r.prog.items]
	if v.Kind() == value.KindString && r.prog.decodeItems {
		d, err := r.arena.DecodeString(v.AsString())
		if err != nil {
			return nil, r.prog.fault("FOREACH", fmt.Errorf("%w: %w", errNotJSON, err))
		}
		v = d
	}
	if n := v.Len(); v.Kind() == value.KindList && n > r.prog.engine.limits.Rows {
		return nil, r.prog.fault("FOREACH", &value.BudgetError{Budget: "rows", Msg: fmt.Sprintf("%d items", n), Size: strconv.Itoa(r.prog.engine.limits.Rows)})
	}
	return v.Elements(&r.arena), nil
}

// rowWork is the work that a row counts as, beside what it reads: so the clock is
// looked at every thousand rows.
const rowWork = 1024

func (r *run) each(items []value.Value, emit func(*run) error) (outcome, error) {
	p, result := r.prog, empty
	for _, item := range items {
		r.item = item
		r.docs[docItem].state = unread
		r.arena.Work(rowWork)
		if err := r.arena.Err(); err != nil {
			return failed, p.fault("FOREACH", err)
		}
		if r.see != nil {
			r.seeItem(item)
		}
		if p.incase != nil {
			ok, err := p.incase.test(r)
			if err != nil {
				return failed, p.fail("INCASE", p.stmt.InCase, err)
			}
			if r.see != nil {
				r.seeCond("INCASE", p.incase, p.stmt.InCase, ok)
			}
			if !ok {
				continue
			}
		}
		if p.do != nil {
			clear(r.frames[frameDo])
			if err := r.assign(p.do, "DO"); err != nil {
				return failed, err
			}
			if r.see != nil {
				r.seeFields("DO", p.do)
			}
		}
		if _, err := r.finish(emit); err != nil {
			return failed, err
		}
		result = passed
	}
	return result, nil
}

// assign evaluates a select list into its frame.
func (r *run) assign(list []assignment, clause string) error {
	for i := range list {
		a := &list[i]
		if a.postponed != nil {
			if err := r.document(a.postponed).err; err != nil {
				return r.prog.failField(clause, a, err)
			}
			continue
		}
		v, err := a.expr.eval(r)
		if err == nil && a.steps != nil {
			v, err = a.nested(r, v)
		}
		if err != nil {
			return r.prog.failField(clause, a, err)
		}
		r.frames[a.frame][a.slot] = v
	}
	return nil
}

// number is a random number, for partition keys.
func (r *run) number() uint64 { return rand.Uint64() }
