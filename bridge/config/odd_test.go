package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Templates with a column that never has a value are warned of.
func TestWarnTemplates(t *testing.T) {
	t.Parallel()
	const client, broker = "{type: mqtt, servers: mqtt://localhost, client_id: c}", "{type: broker}"
	const unknown, missing = "does not learn who published", "selects no column of that name"
	for _, c := range []struct{ sql, key, source, want string }{
		{`SELECT * FROM "t/#"`, "${topic}", client, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", client, unknown},
		{`SELECT * FROM "t/#"`, "a-${username.x}", client, unknown},
		{`SELECT * FROM "t/#"`, "${clientid}", broker, ""},
		{`SELECT * FROM "t/#"`, "a ${topic", client, `"${topic" is not closed`},
		{`SELECT * FROM "t/#"`, `{\"a\": ${topic}}`, client, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", client + ", b: " + broker, ""},
		{`SELECT clientid, topic FROM "t/#"`, "${clientid}", client, unknown},
		{`SELECT clientid as c, c as d FROM "t/#"`, "${d}", client, unknown},
		{`SELECT payload.id as clientid, clientid as d FROM "t/#"`, "${d}${clientid}", client, ""},
		{`SELECT *, payload.id as clientid FROM "t/#"`, "${clientid}", client, ""},
		{`SELECT payload.a, 'x' FROM "t/#"`, "${payload.a}${x}${.}", client, ""},
		{`SELECT payload.a as a FROM "t/#"`, "${b}", broker, missing},
		{`SELECT payload.a as a FROM "t/#"`, "${b}${b.c}", client, missing},
		{`FOREACH payload.l FROM "t/#"`, "${item}${topic}", client, ""},
		{`FOREACH payload.l as e FROM "t/#"`, "${e}${clientid}", client, unknown},
		{`FOREACH payload.l as e DO e.x as x FROM "t/#"`, "${x}", client, ""},
		{`FOREACH payload.l as e DO e.x as x FROM "t/#"`, "${topic}", client, missing},
	} {
		def, err := Parse("bridge.yaml", []byte("sources: {s: "+c.source+"}\nsinks: {f: {type: file, path: p}}\n"+
			"rules:\n  r:\n    sql: "+c.sql+"\n    actions: [{key: \""+c.key+"\"}]\n"), testOptions)
		require.NoError(t, err, c.sql)
		if c.want == "" {
			require.Empty(t, def.Warnings(), c)
			continue
		}
		require.Len(t, def.Warnings(), 1, c)
		require.True(t, strings.HasPrefix(def.Warnings()[0].Error(), "bridge.yaml:6:21: rules.r.actions[0].key: warning: "), def.Warnings()[0])
		require.ErrorContains(t, def.Warnings()[0], c.want)
	}
}
