package rulebench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"
	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

const reading = `{"id":"sensor-000017","type":"temperature","location":{"building":"B7","floor":3,"lat":52.5163,"lon":13.3777},` +
	`"tags":["outdoor","north"],"temp":21.75,"hum":48.2,"bat":3.61,"seq":184467,"unit":"C"}`

const list = `{"site":"s1","rows":[{"id":1,"v":20.5},{"id":2,"v":21.5},{"id":3,"v":22.5},{"id":4,"v":23.5},{"id":5,"v":24.5}],"unit":"C"}`

var wide = func() string {
	var b strings.Builder
	b.WriteString(`{"id":"sensor-000017"`)
	for i := range 39 {
		fmt.Fprintf(&b, `,"field%02d":{"value":%d.25,"unit":"C","quality":"good"}`, i, i)
	}
	return b.String() + "}"
}()

const topic = "t/kitchen/1"

// workloads are the same work in three languages. Several rows of output are
// compared as a list.
var workloads = []struct{ name, payload, sql, blobl, jq string }{
	{
		"Projection", reading,
		`SELECT payload.id AS id, payload.temp AS temp, topic FROM "t/#" WHERE payload.temp > 10`,
		`root = if this.temp > 10 { {"id": this.id, "temp": this.temp, "topic": "` + topic + `"} } else { deleted() }`,
		`select(.temp > 10) | {id: .id, temp: .temp, topic: "` + topic + `"}`,
	},
	{
		"Foreach5", list,
		`FOREACH payload.rows AS r DO r.id AS id, r.v AS v, payload.site AS site FROM "t/#"`,
		`let site = this.site
root = this.rows.map_each(r -> {"id": r.id, "v": r.v, "site": $site})`,
		`.site as $site | [.rows[] | {id: .id, v: .v, site: $site}]`,
	},
	{
		"CaseFunctions", reading,
		`SELECT CASE WHEN payload.temp > 30 THEN 'hot' WHEN payload.temp > 10 THEN 'warm' ELSE 'cold' END AS level,
			upper(payload.id) AS id, payload.type + '/' + payload.unit AS kind, round(payload.hum) AS hum FROM "t/#"`,
		`root.level = if this.temp > 30 { "hot" } else if this.temp > 10 { "warm" } else { "cold" }
root.id = this.id.uppercase()
root.kind = this.type + "/" + this.unit
root.hum = this.hum.round()`,
		`{level: (if .temp > 30 then "hot" elif .temp > 10 then "warm" else "cold" end), id: (.id | ascii_upcase), kind: (.type + "/" + .unit), hum: (.hum | round)}`,
	},
	{
		"Wide3of40", wide,
		`SELECT payload.id AS id, payload.field07.value AS a, payload.field33.value AS b FROM "t/#"`,
		`root = {"id": this.id, "a": this.field07.value, "b": this.field33.value}`,
		`{id: .id, a: .field07.value, b: .field33.value}`,
	},
}

// A worker does the work of one message and returns the output.
type worker func() ([]byte, error)

func sluice(tb testing.TB, sql, payload string) worker {
	r, err := rule.New(rule.Config{SQL: sql, Actions: []rule.Action{{}}})
	require.NoError(tb, err)
	m := &bridge.Message{Topic: topic, Payload: []byte(payload), Received: time.Unix(1700000000, 0)}
	var out bridge.Out
	return func() ([]byte, error) {
		out.Reset()
		if err := r.Apply(&out, m); err != nil {
			return nil, err
		}
		return out.Records()[0].Data, nil
	}
}

func bloblangWorker(tb testing.TB, mapping, payload string) worker {
	e, err := bloblang.Parse(mapping)
	require.NoError(tb, err)
	text := []byte(payload)
	return func() ([]byte, error) {
		var in any
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, err
		}
		out, err := e.Query(in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
}

func jqWorker(tb testing.TB, program, payload string) worker {
	q, err := gojq.Parse(program)
	require.NoError(tb, err)
	code, err := gojq.Compile(q)
	require.NoError(tb, err)
	text := []byte(payload)
	return func() ([]byte, error) {
		var in any
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, err
		}
		v, _ := code.Run(in).Next()
		if err, ok := v.(error); ok {
			return nil, err
		}
		return json.Marshal(v)
	}
}

// TestSameOutput checks that the three do the same.
func TestSameOutput(t *testing.T) {
	for _, w := range workloads {
		r, err := rule.New(rule.Config{SQL: w.sql, Actions: []rule.Action{{}}})
		require.NoError(t, err)
		var batch bridge.Out
		require.NoError(t, r.Apply(&batch, &bridge.Message{Topic: topic, Payload: []byte(w.payload)}))
		rows := make([][]byte, 0, len(batch.Records))
		for _, rec := range batch.Records {
			rows = append(rows, rec.Data)
		}
		want := string(bytes.Join(rows, []byte(",")))
		if len(rows) > 1 {
			want = "[" + want + "]"
		}
		for name, other := range map[string]worker{"bloblang": bloblangWorker(t, w.blobl, w.payload), "jq": jqWorker(t, w.jq, w.payload)} {
			got, err := other()
			require.NoError(t, err, "%s %s", w.name, name)
			require.JSONEq(t, want, string(got), "%s %s", w.name, name)
		}
	}
}

func BenchmarkRules(b *testing.B) {
	for _, w := range workloads {
		for name, work := range map[string]worker{
			"sluice": sluice(b, w.sql, w.payload), "bloblang": bloblangWorker(b, w.blobl, w.payload), "gojq": jqWorker(b, w.jq, w.payload),
		} {
			b.Run(w.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := work(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
