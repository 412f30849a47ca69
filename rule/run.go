package rule

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/jsonx"
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

	payload payload
	// What the rows go to, when they become records.
	out     *bridge.Batch
	actions []*action

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
	r.payload.state = payloadUnread
}

// end drops what the run holds of the message.
func (r *run) end() {
	r.arena.Reset()
	r.msg = nil
	clear(r.frames[frameSelect])
	clear(r.frames[frameDo])
	clear(r.payload.values)
	clear(r.stack[:cap(r.stack)])
	r.stack = r.stack[:0]
	r.item, r.payload.whole, r.payload.doc = value.Undefined(), value.Undefined(), nil
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
	if p.where != nil {
		ok, err := p.where.test(r)
		if err != nil {
			return failed, p.failCond("WHERE", p.stmt.Where, err)
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
		return nil, r.prog.fault("FOREACH", fmt.Errorf("%w: %d items, the limit is %d", ErrTooManyRows, n, r.prog.engine.limits.Rows))
	}
	return v.Elements(&r.arena), nil
}

func (r *run) each(items []value.Value, emit func(*run) error) (outcome, error) {
	p, result := r.prog, empty
	for _, item := range items {
		r.item = item
		if p.incase != nil {
			ok, err := p.incase.test(r)
			if err != nil {
				return failed, p.failCond("INCASE", p.stmt.InCase, err)
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
		if a.postponed {
			if r.open() == payloadBad {
				return r.prog.failField(clause, a, r.payload.err)
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

// payload is the payload column, read when a path into it is first asked for.
type payload struct {
	state payloadState
	// doc is the JSON text and spans the places of the statement's paths in it;
	// values are those that have been read so far.
	doc    []byte
	spans  []jsonx.Span
	values []value.Value
	read   []bool
	// whole is the column when it is no text.
	whole value.Value
	err   error
}

type payloadState uint8

const (
	payloadUnread payloadState = iota
	payloadText                // doc and spans are set
	payloadValue               // whole is set
	payloadBad                 // err is set
)

// open makes the payload ready for paths into it.
func (r *run) open() payloadState {
	p := &r.payload
	if p.state != payloadUnread {
		return p.state
	}
	v := r.column(column{"payload", colPayload})
	if v.Kind() != value.KindString {
		p.whole, p.state = v, payloadValue
		return p.state
	}
	p.doc = bytesOf(v.AsString())
	var err error
	if p.spans, err = r.prog.paths.Extract(p.spans, p.doc); err != nil {
		p.err, p.state = fmt.Errorf("%w: %w", errPayloadNotJSON, err), payloadBad
		return p.state
	}
	clear(p.read)
	p.state = payloadText
	return p.state
}

// payloadAt returns the value at one of the program's payload paths.
func (r *run) payloadAt(at *payloadPath) (value.Value, error) {
	switch p := &r.payload; r.open() {
	case payloadText:
		if !p.read[at.index] {
			p.values[at.index] = r.pick(at, p.spans[at.index])
			p.read[at.index] = true
		}
		return p.values[at.index], nil
	case payloadValue:
		return r.walk(p.whole, at.steps), nil
	default:
		return value.Undefined(), p.err
	}
}

// appendPayload appends the value at one of the program's payload paths as JSON.
func (r *run) appendPayload(dst []byte, at *payloadPath) []byte {
	p := &r.payload
	if r.open() == payloadText {
		if s := p.spans[at.index]; s.Rest == 0 && s.Kind != jsonx.Missing {
			return value.AppendJSONText(dst, p.doc[s.Start:s.End])
		}
	}
	v, _ := r.payloadAt(at) // the statement has looked into the payload before
	return value.AppendJSON(dst, v)
}

// pick makes the value of a span. Where a text was met on the way, the rest of
// the path leads into the JSON that it may hold.
func (r *run) pick(at *payloadPath, s jsonx.Span) value.Value {
	v := r.arena.FromJSON(r.payload.doc[s.Start:s.End:s.End], s.Kind)
	if s.Rest > 0 {
		v = r.walk(v, at.steps[len(at.steps)-int(s.Rest):])
	}
	return v
}

// number is a random number, for partition keys.
func (r *run) number() uint64 { return rand.Uint64() }
