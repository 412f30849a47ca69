package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// A reload that adds or removes topics changes the subscriptions of the connection
// that there is; one that the broker refuses changes nothing.
func TestApplyChangesSubscriptions(t *testing.T) {
	t.Parallel()
	frozen := make(chan struct{}, 1)
	b := mqttfake.New(mqttfake.Options{
		Suback: func(filter string, qos byte) byte {
			if filter == "secret/#" {
				return packets.SubackNotauthorized
			}
			return qos
		},
		Hook: func(e mqttfake.Event) mqttfake.Action {
			if s, ok := e.Packet.Content.(*packets.Subscribe); ok && e.FromPeer && s.Subscriptions[0].Topic == "slow/#" {
				frozen <- struct{}{}
				return mqttfake.Action{Skip: true}
			}
			return mqttfake.Action{}
		},
	})
	t.Cleanup(b.Close)
	addr, err := b.Listen()
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "out")
	parse := func(filters, rules string) *Definition {
		def, err := Parse("f", []byte("sources: {s: {type: mqtt, client_id: c, connect_timeout: 500ms, servers: mqtt://"+addr+filters+"}}\n"+
			"sinks: {f: {type: file, format: raw, path: "+out+"}}\nrules:\n"+rules), testOptions)
		require.NoError(t, err)
		return def
	}
	const a = `  a: {sql: SELECT * FROM "a/#", actions: [{payload: "a $<topic>"}]}` + "\n"
	const more = `  b: {sql: SELECT * FROM "b/#", actions: [{payload: "b $<topic>"}]}` + "\n"
	const secret = `  s: {sql: SELECT * FROM "secret/#", actions: [{payload: "s $<topic>"}]}` + "\n"
	const slow = `  s: {sql: SELECT * FROM "slow/#", actions: [{payload: "s $<topic>"}]}` + "\n"
	old := parse("", a)
	p := begin(t, old)
	subscribed := func(want ...string) {
		t.Helper()
		require.Equal(t, want, slices.Sorted(slices.Values(b.Subscriptions("c"))))
		require.Equal(t, 1, b.Connects(), "the connection stays")
	}
	subscribes := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			return slices.Equal(want, slices.Sorted(slices.Values(b.Subscriptions("c"))))
		}, 10*time.Second, time.Millisecond)
	}
	stored := func(line string) {
		t.Helper()
		require.Eventually(t, func() bool {
			text, _ := os.ReadFile(out)
			return slices.Contains(strings.Split(string(text), "\n"), line)
		}, 10*time.Second, time.Millisecond, line)
	}
	apply := func(def *Definition, want string) {
		t.Helper()
		c, err := def.Apply(t.Context(), p, old, silent)
		require.NoError(t, err)
		require.Equal(t, want, c.String())
		old = def
	}
	subscribes("a/#")
	b.Publish(mqttfake.Message{Topic: "a/1", QoS: 1})
	stored("a a/1")

	apply(parse("", a+more), "added rules.b")
	subscribed("a/#", "b/#")
	b.Publish(mqttfake.Message{Topic: "b/1", QoS: 1})
	stored("b b/1")

	for range 2 {
		_, err = parse("", more+secret).Apply(t.Context(), p, old, silent)
		require.ErrorContains(t, err, `sources.s: mqtt: broker mqtt://`+addr)
		require.NotErrorIs(t, err, ErrRestart)
		require.Equal(t, []string{"a", "b"}, sortedKeys(p.Config().Rules))
		subscribes("a/#", "b/#")
	}
	b.Publish(mqttfake.Message{Topic: "a/2", QoS: 1})
	stored("a a/2")

	apply(parse("", more), "removed rules.a")
	subscribes("b/#")
	apply(parse(", filters: [b/+, {topic: c, qos: 0}]", more), "changed sources.s (filters)")
	subscribes("b/+", "c")
	require.Equal(t, 1, b.Connects())

	_, err = parse(", keepalive: 5s, filters: [b/+]", more).Apply(t.Context(), p, old, silent)
	require.ErrorIs(t, err, ErrRestart)
	require.ErrorContains(t, err, "sources.s (filters, keepalive)")

	// A change that is called off while the broker is silent is undone, too.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-frozen
		cancel()
	}()
	_, err = parse(", filters: [b/+, slow/#]", more+slow).Apply(ctx, p, old, silent)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"b"}, sortedKeys(p.Config().Rules))
}
