package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/source/mqtt"
)

// Options whose zero value is not what is written in a definition.
func TestMQTTOptions(t *testing.T) {
	t.Parallel()
	def, err := Parse("f", []byte(`
pipeline:
  limits: {memory: 1MB, time: 1s, rows: 2, list: 3, regex: 4ms, jq: 5ms, jq_unbounded: true, kv_bytes: 6KB, kv_entries: 7}
sources:
  s:
    type: mqtt
    servers: mqtt://localhost
    client_id: c
    proto_ver: v4
    clientid_from: {user_property: device}
    username_from: {topic_level: 2}
    filters:
      - t/#
      - {topic: u/#, retain_handling: 0, user_properties: {b: "2", a: "1"}}
      - {topic: v/#, retain_handling: 1}
      - {topic: w/#, retain_handling: 2}
sinks: {f: {type: file, path: p}}
rules: {r: {sql: SELECT * FROM "t/#", actions: [{template_dialect: json, payload: '{"m":"$<topic>"}'}]}}
`), testOptions)
	require.NoError(t, err)
	require.Empty(t, def.Warnings())
	cfg := def.sources["s"].def.(*mqttSource).config(Context{})
	require.Equal(t, 4, cfg.ProtocolVersion)
	require.Equal(t, mqtt.Origin{UserProperty: "device"}, cfg.ClientIDFrom)
	require.Equal(t, mqtt.Origin{TopicLevel: 2}, cfg.UsernameFrom)
	require.Equal(t, []mqtt.Subscription{
		{Filter: "t/#", QoS: 1},
		{Filter: "u/#", QoS: 1, RetainHandling: mqtt.RetainAlways, UserProperties: []bridge.UserProperty{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}},
		{Filter: "v/#", QoS: 1, RetainHandling: mqtt.RetainIfNew},
		{Filter: "w/#", QoS: 1, RetainHandling: mqtt.RetainNever},
	}, cfg.Filters)
	require.Equal(t, rule.Limits{
		Memory: 1 << 20, Time: time.Second, Rows: 2, List: 3, Regex: 4 * time.Millisecond,
		JQ: 5 * time.Millisecond, JQUnbounded: true, KVBytes: 6 << 10, KVEntries: 7,
	}, def.options.Limits.limits())
}

// The limits of a definition hold for its rules, which share the store of the
// engine that the definition is loaded with.
func TestLimits(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{})
	require.NoError(t, err)
	apply := func(limits, sql, payload string) ([]bridge.Record, error) {
		def, err := Parse("f", []byte("pipeline: {limits: "+limits+"}\nsources: {s: {type: broker}}\nsinks: {f: {type: file, path: p}}\n"+
			"rules:\n  r:\n    sql: "+sql+"\n    actions: [{payload: \"$<x>\"}]\n"), Options{Engine: engine})
		require.NoError(t, err)
		var out bridge.Out
		err = def.compiled["r"].Apply(&out, &bridge.Message{Topic: "t", Payload: []byte(payload)})
		return out.Records(), err
	}
	_, err = apply("{rows: 2}", `FOREACH payload AS x FROM "t"`, "[1,2,3]")
	require.ErrorIs(t, err, rule.ErrTooManyRows)
	_, err = apply("{}", `FOREACH payload AS x FROM "t"`, "[1,2,3]")
	require.NoError(t, err)
	_, err = apply("{memory: 1KB}", `SELECT pad(payload, 2000) AS x FROM "t"`, "a")
	require.ErrorIs(t, err, rule.ErrBudget)

	_, err = apply("{kv_entries: 1}", `SELECT kv_store_put('k', payload) AS x FROM "t"`, "kept")
	require.NoError(t, err)
	_, err = apply("{kv_entries: 1}", `SELECT kv_store_put('l', payload) AS x FROM "t"`, "too many")
	require.ErrorContains(t, err, "limit of 1 keys")
	records, err := apply("{kv_bytes: 1KB}", `SELECT kv_store_get('k') AS x FROM "t"`, "")
	require.NoError(t, err)
	require.Equal(t, "kept", string(records[0].Data))
}
