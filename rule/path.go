package rule

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

var (
	errNotJSON        = errors.New("the text is not JSON")
	errPayloadNotJSON = errors.New("the payload is not JSON")
)

// step is a step of a path, compiled.
type step struct {
	kind  sqlparse.StepKind
	key   string
	index int64
	from  int64
	to    int64
	at    expr // the index of a StepVar
}

// jsonSteps returns the steps for jsonx, as far as they are fixed: keys, and
// indexes counted from the start.
func jsonSteps(steps []step) []jsonx.Step {
	var out []jsonx.Step
	for _, s := range steps {
		switch {
		case len(out) == jsonx.MaxSteps:
			return out
		case s.kind == sqlparse.StepKey:
			out = append(out, jsonx.Member(s.key))
		case s.kind == sqlparse.StepIndex && s.index > 0 && s.index <= math.MaxInt32:
			out = append(out, jsonx.Element(int(s.index-1)))
		default:
			return out
		}
	}
	return out
}

// walk follows steps from v; it ends with undefined where they lead nowhere.
func (r *run) walk(v value.Value, steps []step) value.Value {
	for i := range steps {
		v = r.part(v, &steps[i])
	}
	return v
}

// part returns the part of v that a step leads to. A text is read as JSON.
func (r *run) part(v value.Value, s *step) value.Value {
	v = v.Parse(&r.arena)
	switch s.kind {
	case sqlparse.StepKey:
		return v.Member(&r.arena, s.key)
	case sqlparse.StepIndex:
		return r.element(v, s.index)
	case sqlparse.StepVar:
		at, err := s.at.eval(r)
		if err != nil {
			return value.Undefined()
		}
		if i, ok := at.AsInt(); ok {
			return r.element(v, i)
		}
	}
	return value.Undefined()
}

// element returns an element counted from 1, or from the end when negative.
func (r *run) element(v value.Value, i int64) value.Value {
	if i == 0 || i > math.MaxInt32 || i < -math.MaxInt32 {
		return value.Undefined()
	}
	if i > 0 {
		i--
	}
	return v.Element(&r.arena, int(i))
}

var (
	errSliceOfNoList = errors.New("only a list has slices")
	errSliceBounds   = errors.New("invalid bounds of a slice")
)

// slice returns the elements from..to of a list, both included.
func (r *run) slice(v value.Value, from, to int64) (value.Value, error) {
	if v.Kind() != value.KindList {
		return v, fmt.Errorf("%w, not %s", errSliceOfNoList, v.Kind())
	}
	elements := v.Elements(&r.arena)
	n := int64(len(elements))
	if from == 0 || to == 0 {
		return v, fmt.Errorf("%w: [%d..%d], indexes start with 1", errSliceBounds, from, to)
	}
	if from < 0 {
		from += n + 1
	}
	if to < 0 {
		to += n + 1
	}
	if from < 1 || to < from-1 {
		return v, fmt.Errorf("%w: [%d..%d] of %d elements", errSliceBounds, from, to, n)
	}
	from, to = min(from, n+1), min(to, n)
	if to < from {
		return value.List(nil), nil
	}
	return value.List(elements[from-1 : to]), nil
}

// put returns base with the place that steps lead to set to v. What is missing on
// the way is made; what is in the way is replaced.
func (r *run) put(base value.Value, steps []step, v value.Value) value.Value {
	if len(steps) == 0 {
		return v
	}
	s, rest := &steps[0], steps[1:]
	if s.kind == sqlparse.StepKey {
		return r.arena.Put(base, s.key, r.put(r.part(base, s), rest, v))
	}
	if base.Kind() != value.KindList {
		one := r.arena.Values(1)
		one[0] = r.put(r.part(base, s), rest, v)
		return value.List(one)
	}
	old := base.Elements(&r.arena)
	switch {
	case s.kind == sqlparse.StepEnd:
		return r.splice(old, len(old), len(old), r.put(value.Undefined(), rest, v))
	case s.kind == sqlparse.StepIndex && s.index == 0:
		return r.splice(old, 0, 0, r.put(value.Undefined(), rest, v))
	}
	i := s.index
	if s.kind == sqlparse.StepVar {
		at, err := s.at.eval(r)
		if i, _ = at.AsInt(); err != nil || i == 0 {
			return base
		}
	}
	if i < 0 {
		i += int64(len(old)) + 1
	}
	if i < 1 || i > int64(len(old)) {
		return base
	}
	return r.splice(old, int(i-1), int(i), r.put(old[i-1], rest, v))
}

// splice returns a list of old with the elements from..to replaced by v.
func (r *run) splice(old []value.Value, from, to int, v value.Value) value.Value {
	list := r.arena.Values(len(old) - (to - from) + 1)
	copy(list, old[:from])
	list[from] = v
	copy(list[from+1:], old[to:])
	return value.List(list)
}

// bytesOf is s as bytes that share its memory and must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
