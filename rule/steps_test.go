package rule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// TestApplySteps follows statements clause by clause. The records are those of
// Apply in any case.
func TestApplySteps(t *testing.T) {
	t.Parallel()
	action := rule.Action{Sink: "kinesis", Dest: "telemetry-${site}", Key: "${clientid}", Data: "${temp}", Attrs: map[string]string{"h": "v-${site}"}}
	for _, test := range []struct {
		name, sql, payload string
		want               []string // "columns" is left out
		err                string
	}{
		{
			"passes", `SELECT clientid, payload.temp AS temp, upper('a') AS site FROM "t/#" WHERE payload.temp > 30`, `{"temp":41}`,
			[]string{
				`SELECT payload.temp AS temp = 41`, `SELECT upper('a') AS site = "A"`,
				`WHERE payload.temp > 30 = true`,
				`row  = {"clientid":"c1","site":"A","temp":41}`,
				`action  = sink "kinesis"`, `dest telemetry-${site} = telemetry-A`, `key ${clientid} = c1`,
				`data ${temp} = 41`, `attribute h v-${site} = v-A`,
			},
			"",
		},
		{
			"filtered", `SELECT * FROM "t/#" WHERE payload.temp > 30 AND qos = 0`, `{"temp":4}`,
			[]string{`WHERE payload.temp > 30 AND qos = 0 = payload.temp > 30 is false, with 4`},
			"",
		},
		{
			"fails", `SELECT int(payload.temp) AS temp FROM "t/#"`, `{"temp":"x"}`, nil, "int(payload.temp)",
		},
		{
			"items", `FOREACH payload.list AS x DO clientid, x.n AS temp INCASE x.n > 1 FROM "t/#"`, `{"list":[{"n":1},{"n":2}]}`,
			[]string{
				`FOREACH payload.list AS x = [{"n":1},{"n":2}]`, `FOREACH  = 2 items`,
				`item  = {"n":1}`, `INCASE x.n > 1 = x.n > 1 is false, with 1`,
				`item  = {"n":2}`, `INCASE x.n > 1 = true`, `DO x.n AS temp = 2`,
				`row  = {"clientid":"c1","temp":2}`,
				`action  = sink "kinesis"`, `dest telemetry-${site} = telemetry-undefined`, `key ${clientid} = c1`,
				`data ${temp} = 2`, `attribute h v-${site} = v-undefined`,
			},
			"",
		},
		{
			"no items", `FOREACH payload.list FROM "t/#"`, `{"list":7}`,
			[]string{`FOREACH payload.list = 7`, `FOREACH  = payload.list is no list but 7`},
			"",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, err := rule.New(rule.Config{Name: "r", SQL: test.sql, Actions: []rule.Action{action}})
			require.NoError(t, err)
			m := &bridge.Message{Topic: "t/1", ClientID: "c1", Payload: []byte(test.payload), Received: time.UnixMilli(1)}
			var steps []string
			var got, want bridge.Out
			err = r.ApplySteps(&got, m, func(name, text, result string) {
				steps = append(steps, name+" "+text+" = "+result)
			})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
			} else {
				require.NoError(t, err)
			}
			require.True(t, strings.HasPrefix(steps[0], `columns  = {"clientid":"c1",`), steps[0])
			require.Contains(t, steps[0], `"topic":"t/1"`)
			require.Equal(t, test.want, append([]string(nil), steps[1:]...))
			if err == nil {
				require.NoError(t, r.Apply(&want, m))
				require.Equal(t, want.Records(), got.Records())
			}
		})
	}
}
