package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

// TestFailureLeavesNothing: a rule that fails on an item, or with a later action,
// adds none of its records.
func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql     string
		actions []rule.Action
	}{
		"DO":         {`FOREACH payload.l AS x DO 10 - x AS y FROM t`, []rule.Action{{Data: "${y}"}}},
		"INCASE":     {`FOREACH payload.l AS x DO x INCASE x - 1 < 5 FROM t`, []rule.Action{{}}},
		"key":        {`FOREACH payload.l AS x DO x.k AS k FROM t`, []rule.Action{{}, {Key: "${k}"}}},
		"two keys":   {`SELECT payload.l AS l, none FROM t`, []rule.Action{{Key: "${l}"}, {Key: "${none}"}}},
		"CASE in DO": {`FOREACH payload.l AS x DO CASE WHEN x = 'x' THEN 1 - x ELSE x END AS y FROM t`, []rule.Action{{}}},
	} {
		r := newRule(t, c.sql, c.actions...)
		var out bridge.Out
		out.Add(bridge.Record{Data: []byte("before")})
		for range 2 {
			require.Error(t, r.Apply(&out, message(`{"l":[1,2,"x"]}`)), name)
			require.Equal(t, []bridge.Record{{Data: []byte("before")}}, out.Records(), name)
		}
		require.Error(t, r.ApplySteps(&out, message(`{"l":[1,2,"x"]}`), func(_, _, _ string) {}), name)
		require.Len(t, out.Records(), 1, name)
	}
	r := newRule(t, `FOREACH payload.l AS x DO 10 - x AS y FROM t`, rule.Action{Data: "${y}"})
	var out bridge.Out
	require.NoError(t, r.Apply(&out, message(`{"l":[1,2]}`)))
	require.Len(t, out.Records(), 2)
}

func TestTargets(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT * FROM t`, rule.Action{}, rule.Action{Sink: "s", Key: "k", Dest: "d"}, rule.Action{Sink: "u", HashKey: "1", Data: "${.}"})
	require.Equal(t, []bridge.Target{{Data: true}, {Sink: "s", Key: true, Dest: true, Data: true}, {Sink: "u", HashKey: true, Data: true}}, r.Targets())
	require.Empty(t, newRule(t, `SELECT * FROM t`).Targets())
}

func TestActionWarnings(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT payload.a AS a, clientid FROM "t/#"`,
		rule.Action{Key: "$<clientId>", Data: "${a.l[1]}"}, rule.Action{Key: "$<clientid>", Dest: "${a", Attrs: map[string]string{"x": "$<payload.b>"}})
	type odd struct {
		action int
		field  string
		never  bool
		text   string
	}
	var got []odd
	for _, w := range r.ActionWarnings() {
		got = append(got, odd{w.Action, w.Field, w.Never, w.String()})
	}
	require.Equal(t, []odd{
		{0, "Key", true, "$<clientId> has no value: the statement selects no column clientId (did you mean $<clientid>?)"},
		{0, "Data", false, "templates have no indexes: ${a.l[1]} looks for a member with this name (select the element, SELECT a.l[1] AS x, and write $<x>)"},
		{1, "Dest", false, `"${a" is not closed and stands for itself (write ${name})`},
		{1, "Attrs x", true, "$<payload.b> has no value: the statement selects no column payload (templates see what SELECT or DO select; add it there)"},
	}, got)
	require.Empty(t, newRule(t, `SELECT * FROM "t/#"`, rule.Action{Key: "$<anything>"}).ActionWarnings())
	require.Empty(t, newRule(t, `FOREACH payload.l AS x DO x.a AS a, topic FROM "t/#"`, rule.Action{Key: "$<a>", Dest: "$<topic>"}).ActionWarnings())
	require.Contains(t, r.Explain(), "warning    action 0, Key: $<clientId> has no value")
}

func TestActionsThatMakeJSON(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT payload.m AS m, payload.l AS l, payload.none AS none, clientid FROM "t/#"`,
		rule.Action{Key: "$<clientid>", Data: `{"m":"$<m>","v":$<m>,"l":$<l>,"none":$<none>,"all":$<.>}`, Dialect: template.JSON})
	var out bridge.Out
	require.NoError(t, r.Apply(&out, message(`{"m":"say \"hi\"","l":[72,105]}`)))
	require.Equal(t, "device-17", string(out.Records()[0].Key))
	require.Equal(t, `{"m":"say \"hi\"","v":"say \"hi\"","l":[72,105],"none":null,"all":{"clientid":"device-17","l":[72,105],"m":"say \"hi\"","none":"undefined"}}`, string(out.Records()[0].Data))
}
