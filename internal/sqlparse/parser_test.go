package sqlparse_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/sqlparse"
)

// TestPrint parses a statement and prints it: the canonical text shows how it
// was understood.
func TestPrint(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`select * from "t/#"`:                                                `SELECT * FROM "t/#"`,
		`sElEcT a, b.c AS d from t wHeRe a>1`:                                `SELECT a, b.c AS d FROM "t" WHERE a > 1`,
		`SELECT a b FROM t`:                                                  `SELECT a AS b FROM "t"`,
		`SELECT a > 1 b FROM t`:                                              `SELECT a > 1 AS b FROM "t"`,
		`SELECT 1e5 FROM t`:                                                  `SELECT 1 AS e5 FROM "t"`,
		`SELECT 1.5e3, 007, 2.50, 1.100 FROM t`:                              `SELECT 1500.0, 7, 2.5, 1.1 FROM "t"`,
		`SELECT a + b * c - -d FROM t`:                                       `SELECT a + b * c - -d FROM "t"`,
		`SELECT (a + b) * c, a - (b - c), -(-a) FROM t`:                      `SELECT (a + b) * c, a - (b - c), -(-a) FROM "t"`,
		`SELECT a and b or not c = 1 FROM t`:                                 `SELECT a AND b OR NOT c = 1 FROM "t"`,
		`SELECT (a or b) and c, (a = b) = c FROM t`:                          `SELECT (a OR b) AND c, (a = b) = c FROM "t"`,
		`SELECT (a > 1) as b FROM t`:                                         `SELECT a > 1 AS b FROM "t"`,
		`SELECT x FROM t WHERE a in (1,'b') or a NOT IN (c)`:                 `SELECT x FROM "t" WHERE a IN (1, 'b') OR a NOT IN (c)`,
		`SELECT not not a FROM t`:                                            `SELECT NOT NOT a FROM "t"`,
		`SELECT 7 div 2, 7 MOD 2, div(7,2), MOD(1,2) FROM t`:                 `SELECT 7 div 2, 7 mod 2, div(7, 2), mod(1, 2) FROM "t"`,
		`SELECT [1, 2,], [a,], f([1,]) FROM t`:                               `SELECT [1, 2], [a], f([1]) FROM "t"`,
		`SELECT a is, b like, c AS between, distinct FROM t`:                 `SELECT a AS is, b AS like, c AS between, distinct FROM "t"`,
		`SELECT distinct AS d FROM t`:                                        `SELECT distinct AS d FROM "t"`,
		`SELECT a MOD FROM t`:                                                `SELECT a AS "MOD" FROM "t"`,
		`SELECT a.1.'x y'."z" . b [ 1 ] FROM t`:                              `SELECT a.1."x y".z.b[1] FROM "t"`,
		`SELECT a[-1][+0][-0][b.c[2]] FROM t`:                                `SELECT a[-1][0][-0][b.c[2]] FROM "t"`,
		`SELECT a[1..-1], [-1..1], [1 .. 2], [1, 2], [] FROM t`:              `SELECT a[1..-1], [-1..1], [1..2], [1, 2], [] FROM "t"`,
		`SELECT 'it''s', '"q"', '' , 'a\n' FROM t`:                           `SELECT 'it''s', '"q"', '', 'a\n' FROM "t"`,
		"SELECT `a\"b`, _x, \"from\" FROM t":                                 "SELECT `a\"b`, _x, \"from\" FROM \"t\"",
		`SELECT f(), m.f(1, a > 2, CASE WHEN true THEN 1 END) FROM t`:        `SELECT f(), m.f(1, a > 2, CASE WHEN true THEN 1 END) FROM "t"`,
		`SELECT CASE a WHEN 1 THEN 2 ELSE CASE WHEN b THEN 3 END END FROM t`: `SELECT CASE a WHEN 1 THEN 2 ELSE CASE WHEN b THEN 3 END END FROM "t"`,
		`FOREACH p.a as x DO x.b AS y, z INCASE x.b > 1 FROM t WHERE true`:   `FOREACH p.a AS x DO x.b AS y, z INCASE x.b > 1 FROM "t" WHERE true`,
		`SELECT a AS b.c[-0].d FROM 't/1', "x", y`:                           `SELECT a AS b.c[-0].d FROM "t/1", "x", "y"`,
		"SELECT a -- one\n FROM t; -- end":                                   `SELECT a FROM "t"`,
	} {
		s, err := sqlparse.Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, s.String(), in)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                                                  `1:1: expected SELECT or FOREACH, found the end of the statement`,
		`BAD`:                                               `1:1: expected SELECT or FOREACH, found BAD`,
		`SELECT FROM t`:                                     `1:8: expected an expression, found FROM`,
		`SELECT *`:                                          `1:9: expected a comma or FROM, found the end of the statement (name the topics: FROM "t/#")`,
		`SELECT a FORM t`:                                   `1:15: expected a comma or FROM, found t (did you mean FROM?)`,
		`SELECT a AS b FORM t`:                              `1:15: expected a comma or FROM, found FORM (did you mean FROM?)`,
		`SELECT a FROM`:                                     `1:14: expected a topic filter`,
		`SELECT a FROM t/#`:                                 `1:15: the topic filter t/# is not quoted (write FROM "t/#")`,
		`SELECT a FROM t/1 WHERE b = 1`:                     `1:15: the topic filter t/1 is not quoted (write FROM "t/1")`,
		`SELECT a FROM "x", a/+/b`:                          `1:20: the topic filter a/+/b is not quoted (write FROM "a/+/b")`,
		`SELECT a FROM #`:                                   `1:15: the topic filter # is not quoted`,
		`SELECT a FROM +/x, t`:                              `1:15: the topic filter +/x is not quoted`,
		`SELECT a FROM /x/y`:                                `1:15: the topic filter /x/y is not quoted`,
		`SELECT a FROM x-y WHERE true`:                      `1:15: the topic filter x-y is not quoted`,
		`SELECT a FROM $events/#`:                           `1:15: the topic filter $events/# is not quoted (write FROM "$events/#")`,
		`SELECT a FROM $share/g/t`:                          `1:15: the topic filter $share/g/t is not quoted`,
		`SELECT a FROM "t" # note`:                          `1:19: unexpected # (comments start with --)`,
		`SELECT a # FROM t`:                                 `1:10: unexpected # (comments start with --)`,
		`SELECT a FROM t WHERE b = #`:                       `1:27: unexpected # (comments start with --)`,
		`SELECT a, b, FROM t`:                               `1:12: there is nothing between the comma and FROM (leave the comma out)`,
		`FOREACH a, DO b FROM t`:                            `1:10: there is nothing between the comma and DO (leave the comma out)`,
		`FOREACH a DO b, INCASE c = 1 FROM t`:               `1:15: there is nothing between the comma and INCASE (leave the comma out)`,
		`SELECT f(1,) FROM t`:                               `1:11: there is nothing between the comma and ) (leave the comma out)`,
		`SELECT [1,,2] FROM t`:                              `1:11: expected an expression, found ,`,
		`SELECT a FROM t WHERE b.c LIKE 'x%'`:               `1:27: there is no LIKE (a pattern is matched with regex_match(b.c, '^a.*z$'), a topic with b.c =~ 'a/+')`,
		`SELECT a like 'x' FROM t`:                          `1:10: there is no LIKE`,
		`SELECT a FROM t WHERE b NOT LIKE c`:                `1:29: there is no LIKE`,
		`SELECT a FROM t WHERE b IS NULL`:                   `1:25: there is no IS (write is_null(b) or is_not_null(b)`,
		`SELECT a FROM t WHERE b is not null`:               `1:25: there is no IS (write is_null(b)`,
		`SELECT a FROM t WHERE 1 + b IS NULL`:               `1:29: there is no IS (write is_null(b)`,
		`SELECT a FROM t WHERE b BETWEEN 1 AND 5`:           `1:25: there is no BETWEEN (write b >= 1 AND b <= 9)`,
		`SELECT CASE WHEN a IS NULL THEN 1 END FROM t`:      `1:20: there is no IS`,
		`SELECT count(*) FROM t`:                            `1:14: expected an expression, found * (there are no functions over several messages`,
		`SELECT a->b FROM t`:                                `1:9: unexpected -> (a member is written a.b, an element a[1])`,
		`SELECT if(a, 1, 2) FROM t`:                         `1:8: expected an expression, found if (write CASE WHEN`,
		`SELECT 1e5 AS x FROM t`:                            `1:12: expected a comma or FROM, found AS (a number with an exponent has a point: 1.0e5)`,
		`SELECT DISTINCT a FROM t`:                          `1:8: there is no DISTINCT (a rule sees one message at a time`,
		`select distinct * from t`:                          `1:8: there is no DISTINCT`,
		`SELECT a FROM t GROUP BY a`:                        `1:17: expected the end of the statement, found GROUP (a rule sees one message at a time: there is no GROUP)`,
		`SELECT a FROM t WHERE b = 1 LIMIT 5`:               `1:29: expected the end of the statement, found LIMIT (a rule sees one message`,
		`SELECT a WHERE b = 1 FROM t`:                       `1:10: expected a comma or FROM, found WHERE (FROM and the topics stand before WHERE`,
		`SELECT a FROM t WHERE !b`:                          `1:23: unexpected ! (the opposite of a condition is written NOT)`,
		`SELECT a /* b */ FROM t`:                           `1:10: unexpected /* (comments start with --`,
		`SELECT “a” FROM t`:                                 `1:8: unexpected “ (text is put in straight single quotes`,
		`SELECT a FROM t WHERE`:                             `1:22: expected an expression`,
		`SELECT if FROM t`:                                  `1:8: expected an expression, found if (if is a reserved word`,
		`SELECT 1.b FROM t`:                                 `1:9: expected a comma or FROM, found .`,
		`SELECT [1].b FROM t`:                               `1:11: expected a comma or FROM, found .`,
		`SELECT a[1].[2] FROM t`:                            `1:13: expected a key, found [`,
		`SELECT a.1.100 FROM t`:                             `1:10: expected a key, found 1.100 (quote a key that has a dot`,
		`SELECT a[1..3].c FROM t`:                           `1:15: expected an operator, found . (a slice is the last step`,
		`SELECT a as [1..3] FROM t`:                         `1:13: expected a name, found [`,
		`SELECT a as e[1..3] FROM t`:                        `1:13: a slice cannot be an alias`,
		`SELECT 1 as 'x' FROM t`:                            `1:13: expected a name, found 'x' (an alias is a name`,
		`SELECT * FROM t u`:                                 `1:17: expected the end of the statement, found u`,
		`SELECT .5 FROM t`:                                  `1:8: expected an expression, found . (a number starts with a digit`,
		`SELECT 1.5f as r FROM t`:                           `1:13: expected a comma or FROM, found as`,
		`SELECT a == 1 FROM t`:                              `1:10: unexpected == (equality is written =)`,
		`SELECT a = 1 = 2 FROM t`:                           `1:14: comparisons cannot be chained`,
		`SELECT a IN () FROM t`:                             `1:8: the list after IN is empty`,
		`SELECT 'a FROM t`:                                  `1:8: unterminated string`,
		`SELECT "a FROM t`:                                  `1:8: unterminated name`,
		"SELECT a,\n\tb c d FROM t":                         `2:6: expected a comma or FROM, found d`,
		`SELECT CASE a END FROM t`:                          `1:15: expected WHEN, found END`,
		`SELECT 1 + NOT a FROM t`:                           `1:12: expected an expression, found NOT`,
		`FOREACH a INCASE b = 1 DO c FROM t`:                `1:24: expected FROM, found DO (DO stands before INCASE)`,
		`SELECT div FROM t`:                                 `1:8: expected an expression, found div (div is an operator`,
		`SELECT ü FROM t`:                                   `1:8: unexpected character 'ü'`,
		`SELECT f(1 FROM t`:                                 `1:12: expected a comma or ), found FROM`,
		strings.Repeat(" ", 270000):                         `the statement is longer than 262144 bytes`,
		"SELECT " + strings.Repeat("(", 300):                `the expression is nested too deep`,
		"SELECT " + strings.Repeat("a[", 300):               `nested too deep`,
		"SELECT 1" + strings.Repeat("0", 320) + ".0 FROM t": `the number is too large`,
	} {
		_, err := sqlparse.Parse(in)
		require.ErrorContains(t, err, want, in)
		var e *sqlparse.Error
		require.ErrorAs(t, err, &e)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	_, err := sqlparse.Parse("SELECT topic,\n\tpayload.x == 1\nFROM t")
	require.EqualError(t, err, "2:12: unexpected == (equality is written =)\n  \tpayload.x == 1\n  \t          ^^")
	_, err = sqlparse.Parse("SELECT " + strings.Repeat("long, ", 50) + " FROM " + strings.Repeat("x", 100))
	require.Contains(t, err.Error(), "…")
}

func TestPositions(t *testing.T) {
	t.Parallel()
	const sql = `SELECT upper(a.b[1]) + 'x' AS c FROM "t" WHERE NOT (a = 1)`
	s, err := sqlparse.Parse(sql)
	require.NoError(t, err)
	at := func(p sqlparse.Span) string { return sql[p.Start:p.End] }
	sum := s.Fields[0].Expr.(*sqlparse.Binary)
	call := sum.X.(*sqlparse.Call)
	require.Equal(t, `upper(a.b[1]) + 'x'`, at(sum.Pos()))
	require.Equal(t, `upper`, at(call.NameSpan))
	require.Equal(t, `a.b[1]`, at(call.Args[0].Pos()))
	require.Equal(t, `c`, at(s.Fields[0].As.Pos()))
	require.Equal(t, `"t"`, at(s.From[0].Span))
	require.Equal(t, `NOT (a = 1)`, at(s.Where.Pos()))
}
