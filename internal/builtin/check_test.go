package builtin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// checkCall checks the constants of a call; a name stands for what is not constant.
func checkCall(t *testing.T, text string) *builtin.ConstantError {
	t.Helper()
	x, err := sqlparse.ParseExpr(text)
	require.NoError(t, err, text)
	call := x.(*sqlparse.Call)
	f, ok := builtin.Lookup(call.Name)
	require.True(t, ok, text)
	c := newCtx(builtin.Config{})
	args := make(builtin.Constants, len(call.Args))
	for i, a := range call.Args {
		if _, name := a.(*sqlparse.Path); name {
			continue
		}
		v, err := eval(c, a)
		require.NoError(t, err, text)
		args[i] = &v
	}
	return f.CheckConstants(c, args)
}

func TestConstantsThatCannotWork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`regex_match(p, '(')`: "missing", `regex_replace(p, '[', '')`: "unterminated", `regex_extract(p, '*')`: "", `jq('.[', p)`: "unexpected", `jq('.', p, -1)`: "at least 0",
		`format_date('sec', p, q)`: "'sec' must be 'second', 'millisecond', 'microsecond' or 'nanosecond'", `format_date('second', '+8', '%Y')`: "no time zone offset", `now_timestamp('ms')`: "'ms' must be",
		`unix_ts_to_rfc3339(p, 'min')`: "must be", `date_to_unix_ts('second', '%Y-%m-%d', p)`: "the format has no %H, %M, %S", `date_to_unix_ts('second', '%y', p)`: "unknown placeholder", `date_to_unix_ts('second', 'GMT', '%Y%m%d%H%M%S', p)`: "no time zone offset",
		`hash('crc32', p)`: "unknown algorithm 'crc32'", `sprintf('~d', p)`: "unknown control sequence ~d", `sprintf('~s ~s', p)`: "wants 2 arguments, not 1", `sprintf('no', p)`: "wants 0 arguments, not 1", `sprintf('~*b', p)`: "wants 2 arguments, not 1", `sprintf('~')`: "ends within",
		`sprintf_s('~p~p', [1])`: "wants 2 arguments, not 1", `sprintf_s('~q', p)`: "unknown control sequence", `pad(p, 5, 'left')`: "'left' must be 'trailing', 'leading' or 'both'", `replace(p, 'a', 'b', 'first')`: "must be 'all'", `find(p, 'a', 'end')`: "must be",
		`split(p, ',', 'trim')`: "must be", `tokens(p, ',', 'crlf')`: "must be 'nocrlf'", `subbits(p, 1, 8, 'int')`: "must be", `subbits(p, 1, 8, 'integer', 'sign')`: "must be", `subbits(p, 1, 8, 'integer', 'signed', 'le')`: "must be", `nth(0, p)`: "0 must be at least 1",
		`substr(p, -1)`: "at least 0", `substr(p, 0, -1)`: "at least 0", `float(p, 300)`: "at most 253", `float2str(p, -1)`: "at least 0", `topic(0)`: "at least 1", `timezone_to_second('CET')`: "no time zone offset", `mongo_date(p, 's')`: "must be",
	} {
		e := checkCall(t, text)
		require.NotNil(t, e, text)
		require.ErrorContains(t, e, want, text)
		require.ErrorIs(t, e.Unwrap(), e.Err)
		require.False(t, e.Odd, text)
	}
	require.Contains(t, checkCall(t, `pad(p, 5, 'left')`).Options, "leading")
}

func TestConstantsThatAreOdd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`base64_encode(x, 'nopad')`: "'nopad' must be 'no_padding' or 'urlsafe'", `base64_decode(x, 'urlsafe', 'x')`: "'x' must be", `format_date('second', 'Z', '%y-%m')`: `"%y" in the format is no placeholder`,
	} {
		e := checkCall(t, text)
		require.NotNil(t, e, text)
		require.ErrorContains(t, e, want, text)
		require.True(t, e.Odd, text)
	}
}

func TestConstantsThatAreRight(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`regex_match(p, '^a(?=b)')`, `regex_match('(', p)`, `jq('.a', p, 10)`, `format_date('second', 'local', '100%% %Y %3N', 0)`, `format_date(u, z, f)`, `date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', p)`,
		`date_to_unix_ts('second', '+08:00', '%Y-%m-%d %H:%M:%S', p)`, `date_to_unix_ts('second', 3600, '%Y-%m-%d %H:%M:%S%z', p)`, `date_to_unix_ts('second', '+08:00', f, p)`, `hash('sha3_256', p)`, `sprintf('~2..0b ~n~~ ~*s ~.16X', p, 1, p, p, p)`, `sprintf(f, p, q)`,
		`sprintf_s('~p~p', p)`, `sprintf_s('~p~p', [1, 2])`, `pad(p, 5)`, `pad(p, 5, 'both', '*')`, `base64_encode(p, 'urlsafe', 'no_padding')`, `substr(p, 0)`, `topic()`, `topic(2)`, `nth(n, p)`, `upper(p)`, `now_timestamp()`, `timezone_to_second(null())`,
	} {
		require.Nil(t, checkCall(t, text), text)
	}
}

// TestChecksAgreeWithCalls: what is refused beforehand fails when it is called.
func TestChecksAgreeWithCalls(t *testing.T) {
	t.Parallel()
	for text, p := range map[string]string{
		`regex_match(p, '(')`: "a", `jq('.[', p)`: "{}", `now_timestamp('ms')`: "", `hash('crc32', p)`: "a", `sprintf('~d', p)`: "a", `sprintf('~s ~s', p)`: "a", `pad(p, 5, 'left')`: "a", `replace(p, 'a', 'b', 'first')`: "a",
		`split(p, ',', 'trim')`: "a", `tokens(p, ',', 'crlf')`: "a", `substr(p, -1)`: "a", `date_to_unix_ts('second', '%Y-%m-%d', p)`: "2024-01-01",
	} {
		require.NotNil(t, checkCall(t, text), text)
		c := newCtx(builtin.Config{})
		c.Event = event{"p": value.String(p)}
		_, err := evalText(t, c, text)
		require.Error(t, err, text)
	}
}
