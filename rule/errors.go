package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// ErrBudget is why an evaluation fails that would cost more than the engine's
// [Limits] allow. The error's text names the limit, its size and the place in the
// statement.
var ErrBudget = value.ErrBudget

// ErrTooManyRows is why an evaluation fails that would make more rows than the
// engine's limit. It is an ErrBudget, too.
var ErrTooManyRows error = &value.BudgetError{Budget: "rows", Msg: "too many rows"}

// ErrUndefinedKey is why a message fails whose partition key has a placeholder
// without a value; see KeyPolicy.
var ErrUndefinedKey = errors.New("the partition key is undefined")

// SyntaxError is a fault that was found when a rule was compiled. Its text names
// line and column and shows the offending part of the statement, underlined.
type SyntaxError struct{ err *sqlparse.Error }

// Error returns the position, what is wrong, what to do, and the line of the
// statement with the place underlined.
func (e *SyntaxError) Error() string { return e.err.Error() }

// Summary is the error in one line, without the excerpt.
func (e *SyntaxError) Summary() string { return e.err.Summary() }

// Position returns line and column, counted from 1, where the offending text
// starts.
func (e *SyntaxError) Position() (line, column int) { return e.err.Position() }

// Hint says what would help; it may be empty.
func (e *SyntaxError) Hint() string { return e.err.Hint }

// SyntaxErrors returns the faults of the statement that err, from New or Test, holds.
func SyntaxErrors(err error) []*SyntaxError {
	var faults *faults
	if errors.As(err, &faults) {
		return slices.Clone(faults.list)
	}
	var one *SyntaxError
	if errors.As(err, &one) {
		return []*SyntaxError{one}
	}
	return nil
}

// faults are all that is wrong with a statement.
type faults struct{ list []*SyntaxError }

// Error is the faults' texts, one after the other.
func (f *faults) Error() string {
	texts := make([]string, len(f.list))
	for i, e := range f.list {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns the faults.
func (f *faults) Unwrap() []error {
	errs := make([]error, len(f.list))
	for i, e := range f.list {
		errs[i] = e
	}
	return errs
}

// EvalError is the failure of a rule on a message.
type EvalError struct {
	// Rule is the rule's name and Clause the part that failed: SELECT,
	// FOREACH, DO, INCASE, WHERE, or the part of an action.
	Rule   string
	Clause string
	// Expr is the expression of the statement that failed, if it was one.
	Expr string
	// Line and Column are where that is in the statement, counted from 1.
	Line, Column int
	Err          error
}

// maxExprText is how much of an expression an error shows.
const maxExprText = 80

// Error names the rule, the clause, the expression and the reason, and also the
// position when a budget is exceeded.
func (e *EvalError) Error() string {
	where := e.Clause
	if e.Expr != "" {
		where += " " + shorten(e.Expr)
	}
	if errors.Is(e.Err, ErrBudget) {
		where += fmt.Sprintf(" at %d:%d", e.Line, e.Column)
	}
	if e.Rule != "" {
		where = "rule " + e.Rule + ": " + where
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

func shorten(s string) string {
	if r := []rune(s); len(r) > maxExprText {
		return string(r[:maxExprText]) + "…"
	}
	return s
}

// Unwrap returns the reason.
func (e *EvalError) Unwrap() error { return e.Err }
