package rule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// reading is a payload of 200 bytes.
const reading = `{"id":"sensor-000017","type":"temperature","location":{"building":"B7","floor":3,"lat":52.5163,"lon":13.3777},` +
	`"tags":["outdoor","north"],"temp":21.75,"hum":48.2,"bat":3.61,"seq":184467,"unit":"C"}`

// wide is a payload of 2 KB with 40 fields.
var wide = func() string {
	var b strings.Builder
	b.WriteString(`{"id":"sensor-000017"`)
	for i := range 39 {
		fmt.Fprintf(&b, `,"field%02d":{"value":%d.25,"unit":"C","quality":"good"}`, i, i)
	}
	return b.String() + "}"
}()

const list = `{"site":"s1","rows":[{"id":1,"v":20.5},{"id":2,"v":21.5},{"id":3,"v":22.5},{"id":4,"v":23.5},{"id":5,"v":24.5}],"unit":"C"}`

// workloads are the rules whose speed is watched. None of them may allocate.
var workloads = []struct {
	name, sql, payload string
	action             rule.Action
}{
	{"Projection", `SELECT payload.id AS id, payload.temp AS temp, topic FROM "t/#" WHERE payload.temp > 10`, reading, rule.Action{}},
	{"Unaliased", `SELECT payload.id, payload.temp, topic FROM "t/#" WHERE payload.temp > 10`, reading, rule.Action{}},
	{"Star", `SELECT * FROM "t/#"`, reading, rule.Action{}},
	{"StarKeyed", `SELECT * FROM "t/#"`, reading, rule.Action{Key: "${payload.id}", Data: "${payload}"}},
	{"Foreach5", `FOREACH payload.rows AS r DO r.id AS id, r.v AS v, clientid FROM "t/#"`, list, rule.Action{}},
	{"CaseFunctions", `SELECT CASE WHEN payload.temp > 30 THEN 'hot' WHEN payload.temp > 10 THEN 'warm' ELSE 'cold' END AS level,
		upper(payload.unit) AS unit, concat(clientid, topic) AS key, round(payload.hum) AS hum, nth(2, split(topic, '/')) AS room FROM "t/#"`, reading, rule.Action{}},
	{"Wide3of40", `SELECT payload.id AS id, payload.field07.value AS a, payload.field33.value AS b FROM "t/#"`, wide, rule.Action{}},
	{"Arithmetic", `SELECT payload.temp * 1.8 + 32 AS f, payload.seq mod 10 AS s FROM "t/#" WHERE payload.temp > 10 AND payload.seq != 0`, reading, rule.Action{}},
	{"Key", `SELECT payload.temp AS temp, clientid FROM "t/#"`, reading, rule.Action{Sink: "s", Dest: "stream", Key: "${clientid}", Data: `{"t":${temp}}`}},
	{"NoMatch", `SELECT payload.id AS id FROM "t/#" WHERE payload.temp > 100`, reading, rule.Action{}},
}

func message(payload string) *bridge.Message {
	return &bridge.Message{
		Topic: "t/kitchen/1", Payload: []byte(payload), ClientID: "device-17", Username: "ann", PeerHost: "10.0.0.7",
		QoS: 1, Received: time.UnixMilli(1700000000000), Source: "mqtt", Seq: 7,
	}
}

func BenchmarkRule(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			r, err := rule.New(rule.Config{SQL: w.sql, Actions: []rule.Action{w.action}})
			require.NoError(b, err)
			m := message(w.payload)
			var out bridge.Out
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Apply(&out, m); err != nil {
					b.Fatal(err)
				}
				if len(out.Records()) > 100 {
					out.Reset()
				}
			}
		})
	}
}

// BenchmarkParallel is Projection on all processors with one rule: evaluations do
// not get into each other's way.
func BenchmarkParallel(b *testing.B) {
	r, err := rule.New(rule.Config{SQL: workloads[0].sql, Actions: []rule.Action{{}}})
	require.NoError(b, err)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := message(reading)
		var out bridge.Out
		for pb.Next() {
			if err := r.Apply(&out, m); err != nil {
				b.Error(err)
				return
			}
			if len(out.Records()) > 100 {
				out.Reset()
			}
		}
	})
}

func TestApplyDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget under the race detector")
	}
	for _, w := range workloads {
		r, err := rule.New(rule.Config{SQL: w.sql, Actions: []rule.Action{w.action}})
		require.NoError(t, err)
		m := message(w.payload)
		var out bridge.Out
		apply := func() {
			out.Reset()
			require.NoError(t, r.Apply(&out, m))
		}
		apply()
		require.Zero(t, testing.AllocsPerRun(100, apply), w.name)
	}
}
