package jq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

// MaxSource is how long a program may be, in bytes, and maxNesting how deep its
// brackets may nest.
const (
	MaxSource  = 64 << 10
	maxNesting = 250
)

// Program is a compiled program. It is safe for concurrent use.
type Program struct {
	code *gojq.Code
	free bool
}

// Budget is what a run may cost. The zero Budget allows nothing.
type Budget struct {
	Bytes    int       // of texts, arrays and objects that the program makes
	Value    int       // of one value as text
	Deadline time.Time // when the run has to be done
	// Time is the limit that ends at Deadline. The error of a run that is late
	// names it: it can have begun before the run.
	Time time.Duration
}

// Compile compiles a program whose runs have a budget.
func Compile(source string) (*Program, error) {
	query, err := parse(source)
	if err != nil {
		return nil, err
	}
	r := rewriter{}
	if query, err = r.program(query); err != nil {
		return nil, err
	}
	options := append(guards(), gojq.WithVariables([]string{budgetVar}))
	code, err := gojq.Compile(query, options...)
	return &Program{code: code}, err
}

// CompileUnbounded compiles a program of whose budget only the time counts.
func CompileUnbounded(source string) (*Program, error) {
	query, err := parse(source)
	if err != nil {
		return nil, err
	}
	code, err := gojq.Compile(query)
	return &Program{code: code, free: true}, err
}

func parse(source string) (*gojq.Query, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("the program is longer than %d bytes", MaxSource)
	}
	depth := 0
	for i := range len(source) {
		switch source[i] {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return nil, fmt.Errorf("the program nests deeper than %d", maxNesting)
			}
		case ')', ']', '}':
			depth--
		}
	}
	return gojq.Parse(source)
}

// Run runs the program on an input of the types that gojq takes and calls yield
// for each of its results. An exceeded budget is a *value.BudgetError; errors of
// the program itself have short texts, whatever it was that failed.
func (p *Program) Run(input any, b Budget, yield func(any) error) error {
	run := &budget{Budget: b}
	var iter gojq.Iter
	if p.free {
		ctx, cancel := context.WithDeadline(context.Background(), b.Deadline)
		defer cancel()
		iter = p.code.RunWithContext(ctx, input)
	} else {
		iter = p.code.RunWithContext(run, input, run)
	}
	for {
		x, ok := iter.Next()
		if run.err != nil {
			return run.err
		}
		if !ok {
			return nil
		}
		if err, failed := x.(error); failed {
			return run.failure(err)
		}
		if !p.free {
			if _, fits := run.weigh(x); !fits {
				return run.err
			}
		}
		if err := yield(x); err != nil {
			return err
		}
	}
}

// failure returns the error of a program, nil when it ended by itself.
func (b *budget) failure(err error) error {
	var halt *gojq.HaltError
	var valued gojq.ValueError
	switch {
	case errors.As(err, &halt) && halt.Value() == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return b.late()
	case errors.As(err, &valued):
		if _, isText := valued.Value().(string); !isText {
			kind := "error: "
			if halt != nil {
				kind = "halt error: "
			}
			return errors.New(kind + gojq.Preview(valued.Value()))
		}
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return errors.New(text)
}

// maxErrorText is how much of a program's error is shown.
const maxErrorText = 200
