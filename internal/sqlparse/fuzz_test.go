package sqlparse_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/sqlparse"
)

// FuzzParse checks that no text makes the parser panic, that errors point into
// the text, and that printing loses nothing.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`SELECT * FROM "t/#" WHERE payload.x > 1 AND NOT (a = 'b' OR c IN (1, 2.5))`,
		`FOREACH payload.a[1..2] AS x DO x.y AS z[-0].w, CASE x WHEN 1 THEN 'a' ELSE [1..3] END INCASE x =~ 't/+' FROM t, 'u'`,
		"SELECT `a`.'b''c'.\"d\"[e[1].f] MOD 2 AS q, -+-1 DIV f.g(1) FROM \"$events/#\"; --",
		`SELECT 'a''b'''`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := sqlparse.Parse(sql)
		if err != nil {
			var e *sqlparse.Error
			require.ErrorAs(t, err, &e)
			require.LessOrEqual(t, e.Span.Start, len(e.SQL))
			require.NotEmpty(t, e.Error())
			return
		}
		printed := s.String()
		if len(printed) > sqlparse.MaxLength {
			return
		}
		again, err := sqlparse.Parse(printed)
		require.NoError(t, err, printed)
		require.Equal(t, printed, again.String())
	})
}

// TestRoundTrip builds statements that are valid by construction: each must be
// accepted, and printing and parsing it again must not change it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := genStatement(t)
		s, err := sqlparse.Parse(text)
		require.NoError(t, err, text)
		again, err := sqlparse.Parse(s.String())
		require.NoError(t, err, s.String())
		require.Equal(t, s.String(), again.String(), text)
	})
}

func genStatement(t *rapid.T) string {
	text := "SELECT " + genExpr(t, 4) + " AS a.b[-0]"
	if rapid.Bool().Draw(t, "foreach") {
		text = "FOREACH " + genExpr(t, 3) + " AS i DO i, " + genExpr(t, 3) + " c INCASE " + genExpr(t, 3)
	}
	return text + ` FROM "t/#", 'u' WHERE ` + genExpr(t, 4)
}

func genExpr(t *rapid.T, depth int) string {
	leaves := []string{"1", "2.5", "'x'", "true", "a", "a.b", "a.'b c'[1]", `"from"[-1]`, "[1..3]", "a[b.c]", "[]", "f()", "a[2..-1]"}
	if depth == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	sub := func() string { return genExpr(t, depth-1) }
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		op := rapid.SampledFrom([]string{"+", "-", "*", "/", "div", "MOD", "and", "OR", "=", "<>", "=~"}).Draw(t, "op")
		return "(" + sub() + ") " + op + " (" + sub() + ")"
	case 1:
		return "f(" + sub() + ", " + sub() + ")"
	case 2:
		return "[" + sub() + ", " + sub() + "]"
	case 3:
		return "case " + sub() + " when " + sub() + " then " + sub() + " else " + sub() + " end"
	case 4:
		return "(NOT " + sub() + ")"
	case 5:
		return "(" + sub() + ") not in (" + sub() + ")"
	case 6:
		return "-(" + sub() + ")"
	default:
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
}
