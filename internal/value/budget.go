package value

import (
	"errors"
	"fmt"
	"time"
)

// ErrBudget says that an evaluation would cost more than it may. Every
// *BudgetError wraps it.
var ErrBudget = errors.New("budget exceeded")

// ErrLimit says that one evaluation made more data than its Arena's limit allows.
var ErrLimit = &BudgetError{Budget: "memory", Msg: "too much data"}

// ErrTime says that one evaluation took longer than its Arena's time allows.
var ErrTime = &BudgetError{Budget: "time", Msg: "too much work"}

// BudgetError names the budget that was exceeded and its size.
type BudgetError struct {
	Budget string // the name of the option that sets it
	Msg    string // what was too much
	Size   string // of the budget, with its unit
}

func (e *BudgetError) Error() string {
	text := fmt.Sprintf("budget %q exceeded: %s", e.Budget, e.Msg)
	if e.Size != "" {
		text += ", the limit is " + e.Size
	}
	return text
}

// Is reports whether target is ErrBudget or is about the same budget.
func (e *BudgetError) Is(target error) bool {
	b, ok := target.(*BudgetError)
	return target == ErrBudget || ok && b.Budget == e.Budget && b.Size == ""
}

const (
	// DefaultLimit is how many bytes one evaluation may put into an Arena whose
	// Limit is 0.
	DefaultLimit = 16 << 20
	// DefaultTime is how long one evaluation with an Arena may work whose Time
	// is 0.
	DefaultTime = 500 * time.Millisecond
	// tick is how many bytes are worked on between two looks at the clock.
	tick = 1 << 20
)

func (a *Arena) limit() int {
	if a.Limit == 0 {
		return DefaultLimit
	}
	return a.Limit
}

// Spend counts n bytes that the evaluation made elsewhere, such as a record.
func (a *Arena) Spend(n int) {
	if a != nil {
		a.used += n
	}
}

// Left returns how many bytes the evaluation may still make, at least 0.
func (a *Arena) Left() int {
	if a == nil {
		return int(^uint(0) >> 1)
	}
	return max(0, a.limit()-a.used)
}

// Work counts that n bytes were read, compared or searched. The clock is looked
// at once for every MiB of them, so that small messages do not pay for it; it
// starts with the first MiB.
func (a *Arena) Work(n int) {
	if a == nil {
		return
	}
	if a.work += n; a.work >= a.tick {
		a.look()
	}
}

func (a *Arena) look() {
	a.tick = a.work + tick
	if a.started.IsZero() {
		a.started = time.Now()
		return
	}
	a.late = a.late || time.Since(a.started) > a.time()
}

// Check looks at the clock and is Err.
func (a *Arena) Check() error {
	if a != nil {
		a.look()
	}
	return a.Err()
}

func (a *Arena) time() time.Duration {
	if a.Time == 0 {
		return DefaultTime
	}
	return a.Time
}

// Deadline returns when the evaluation has to be done, starting the clock if it
// does not run yet, and the limit that ends then.
func (a *Arena) Deadline() (time.Time, time.Duration) {
	if a == nil {
		return time.Now().Add(DefaultTime), DefaultTime
	}
	if a.started.IsZero() {
		a.started = time.Now()
	}
	return a.started.Add(a.time()), a.time()
}

// Err returns a *BudgetError when the evaluation has made more data, or worked
// longer, than it may.
func (a *Arena) Err() error { return a.Room(0) }

// Room returns a *BudgetError when n more bytes would exceed the limit, or the
// time is over. Ask before making something whose size the data decide.
func (a *Arena) Room(n int) error {
	if a == nil {
		return nil
	}
	limit := a.limit()
	switch {
	case n > limit || a.used > limit-n:
		return &BudgetError{ErrLimit.Budget, ErrLimit.Msg, fmt.Sprintf("%d bytes", limit)}
	case a.late:
		return a.Late()
	}
	return nil
}

// Late returns the error of an evaluation that takes too long.
func (a *Arena) Late() error {
	if a == nil {
		return ErrTime
	}
	a.late = true
	return &BudgetError{ErrTime.Budget, ErrTime.Msg, a.time().String()}
}
