package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
		err  string
	}{
		{args: []string{"-sql", `SELECT payload.a + 1 AS a, topic FROM "t/#"`, "-payload", `{"a":1}`}, want: `{"a":2,"topic":"t/a"}`},
		{args: []string{"-sql", `SELECT payload.msg AS m FROM "t/#"`}, want: `{"m":"hello"}`},
		{args: []string{"-sql", `SELECT n FROM "t/#"`, "-context", `{"n":1.0}`, "-template", "n=${n}"}, want: `n=1.0`},
		{args: []string{"-sql", `SELECT payload.s AS s FROM "t/#"`, "-payload", `{"s":"a\"b"}`, "-template", `{"s":"$<s>"}`, "-engine", "json"}, want: "{\"s\":\"a\\\"b\"}\n"},
		{args: []string{"-sql", `SELECT topic FROM "t/#"`, "-template", "$<topic"}, want: `warning: template: "$<topic" is not closed`},
		{args: []string{"-sql", `SELECT bytesize(payload) AS n, bin2hexstr(payload) AS h FROM "t/#"`, "-payload-file", "-"}, want: `{"h":"FF007B","n":3}`},
		{args: []string{"-sql", `SELECT payload FROM "t/#"`, "-payload-file", "no such file"}, err: "-payload-file: "},
		{args: []string{"-sql", `SELECT n FROM "u/#"`}, want: `no rows (topic): "t/a" is not matched by "u/#"`},
		{args: []string{"-sql", `SELECT n FROM "t/#" WHERE 1 = 2`}, want: "no rows (where): 1 = 2 is false"},
		{args: []string{"-sql", `FOREACH n FROM "t/#"`}, want: "no rows (items): n is no list but undefined"},
		{args: []string{"-sql", `SELECT clientid FROM "$events/client_connected"`, "-event", "$events/client/connected"}, want: `{"clientid":"c_emqx"}`},
		{args: []string{"-sql", `SELECT payload.a FROM t`, "-explain"}, want: "payload.a"},
		{args: []string{"-sql", `SELECT a FORM t`}, err: "did you mean FROM?"},
		{args: []string{"-sql", `SELECT 1 * topic FROM "t/#"`}, err: "cannot apply"},
		{args: []string{"-context", "x"}, err: "-context"},
		{args: []string{"-engine", "x"}, err: "no template engine"},
	} {
		var out strings.Builder
		err := run(c.args, strings.NewReader("\xff\x00{"), &out)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.args)
			continue
		}
		require.NoError(t, err, c.args)
		require.Contains(t, out.String(), c.want, c.args)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	in := `{"id":1,"sql":"SELECT payload.x AS x, n, u FROM \"t/#\"","payload":"{\"x\":12345678901234567890}","context":{"n":1.0,"u":{"$undef":true}}}

{"id":"e","expr":"b","context":{"b":{"$bits":"0101"}}}
{"id":"b","expr":"b","context":{"b":{"$b64":"/w=="}}}
{"id":"t","template":"${a.b}-${topic}","context":{"a":{"b":[1,2]}},"topic":"x"}
{"id":"p","sql":"SELECT"}
{"id":"r","sql":"SELECT payload.x FROM \"t/#\"","payload":"no"}
{"id":"n","sql":"SELECT 1 FROM u"}
{"id":"w","sql":"SELECT 1 FROM \"t/#\" WHERE false"}
{"id":"m","sql":"FOREACH [1,2] AS i DO i FROM \"t/#\"","template":"<${i}>"}
{"id":"z","sql":"FOREACH [] AS i FROM \"t/#\"","payload_b64":"AA=="}
{"id":"x","template":"a","engine":"other"}
nonsense
`
	var out strings.Builder
	require.NoError(t, serve(strings.NewReader(in), &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{
		`{"id":1,"result":[{"n":1.0,"u":{"$undef":true},"x":12345678901234567890}],"metrics":{"matched":1,"passed":1}}`,
		`{"id":"e","result":[{"r":{"$bits":"0101"}}],"metrics":{"matched":1,"passed":1}}`,
		`{"id":"b","result":[{"r":{"$b64":"/w=="}}],"metrics":{"matched":1,"passed":1}}`,
		`{"id":"t","text":"[1,2]-x"}`,
		`{"id":"p","error":"1:7: expected an expression`,
		`{"id":"r","error":"rule rule:test: SELECT payload.x: the payload is not JSON`,
		`{"id":"n","nomatch":"topic"}`,
		`{"id":"w","nomatch":"where","metrics":{"failed":1,"failed.no_result":1,"matched":1}}`,
		`{"id":"m","result":[{"i":1},{"i":2}],"rendered":["<1>","<2>"],"metrics":{"matched":1,"passed":1}}`,
		`{"id":"z","result":[],"metrics":{"failed":1,"failed.no_result":1,"matched":1}}`,
		`{"id":"x","error":"there is no template engine`,
		`{"error":"invalid character`,
	} {
		require.True(t, strings.HasPrefix(lines[i], want), "%s\n%s", want, lines[i])
	}
}
