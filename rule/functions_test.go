package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/rule"
)

// TestExamplesOfFunctions runs the examples that the reference page shows, as
// statements.
func TestExamplesOfFunctions(t *testing.T) {
	t.Parallel()
	for _, f := range builtin.All() {
		require.NotEmpty(t, f.Doc, f.Name)
		for _, e := range f.Examples {
			result, err := rule.Test(rule.TestInput{SQL: "SELECT " + e.Expr + ` AS r FROM "t/#"`})
			if e.Error {
				require.Error(t, err, e.Expr)
				continue
			}
			require.NoError(t, err, e.Expr)
			want := `{"r":` + e.Result + `}`
			if e.Result == "undefined" {
				want = `{"r":"undefined"}`
				require.Equal(t, rule.Undefined{}, result.Rows[0]["r"], e.Expr)
			}
			require.Equal(t, want, result.JSON[0], e.Expr)
		}
	}
}

// TestCallsAreChecked shows what is said of a call before any message comes.
func TestCallsAreChecked(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`uper('a')`:            "1:8: there is no function uper (did you mean upper? Names of functions are case-sensitive)",
		`UPPER('a')`:           "1:8: there is no function UPPER (did you mean upper? Names of functions are case-sensitive)",
		`lists.reverse([1])`:   "1:8: there is no function lists.reverse",
		`concat('a','b','c')`:  "1:8: concat takes 1 or 2 arguments, not 3",
		`upper(1)`:             "1:14: upper: argument 1",
		`abs('x')`:             "1:12: abs: argument 1",
		`abs(topic = 'x')`:     "1:12: abs: argument 1",
		`nth(0, [1])`:          "1:12: nth: ",
		`regex_match('a','(')`: "1:24: regex_match: ",
		`sqrt(-1)`:             "1:8: sqrt: ",
		`1 div 0`:              "1:8: division by zero",
	} {
		_, err := rule.New(rule.Config{SQL: "SELECT " + expr + " AS r FROM t"})
		require.Error(t, err, expr)
		require.Contains(t, rule.SyntaxErrors(err)[0].Summary(), want, expr)
	}
}
