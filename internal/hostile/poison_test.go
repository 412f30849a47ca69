//go:build linux

package hostile_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/source/mqtt"
)

// poisons are messages on which the rule of TestPoisonInARow fails, each by another
// budget, and what the error has to name.
var poisons = []struct{ payload, budget string }{
	{`{"a":[` + strings.Repeat("100,", 3000) + `1],"kind":"rows"}`, "memory"},
	{`{"arr":[],"i":536870911,"kind":"jq"}`, "memory"},
	{`{"i":100000000,"kind":"text"}`, "memory"},
	{`{"i":40,"kind":"double"}`, "memory"},
	{`{"i":1000000000000,"kind":"count"}`, "time"},
	{`{"i":9000000000000000000,"kind":"shift"}`, "integer"},
	{`{"s":"` + strings.Repeat("a", 2000) + `","kind":"regex"}`, "regex"},
}

const poisoned = `FOREACH CASE WHEN payload.kind = 'rows' THEN payload.a ELSE [1] END AS item
DO CASE
  WHEN payload.kind = 'rows' THEN payload
  WHEN payload.kind = 'jq' THEN jq('.arr[.i]=1', payload)
  WHEN payload.kind = 'text' THEN jq('"x" * .i', payload)
  WHEN payload.kind = 'double' THEN jq('reduce range(.i) as $i ([1]; [.,.])|tostring', payload)
  WHEN payload.kind = 'count' THEN jq('last(range(.i))', payload)
  WHEN payload.kind = 'shift' THEN bitsl(1, payload.i)
  WHEN payload.kind = 'regex' THEN regex_match(payload.s, '(?=a)(a+)+b')
  ELSE payload.n
END AS x FROM "t/#"`

// TestPoisonInARow: a thousand messages (in the short form a hundred) that exceed a budget, in a persistent session
// of a broker that sends them again if the process dies or does not acknowledge
// them, and one of good faith after every ten. Those are delivered, in order, the
// others go to the fallback with what was exceeded, and nothing is left at the
// broker.
func TestPoisonInARow(t *testing.T) {
	n := 105
	if *all {
		n = 1000
	}
	b := mqttfake.New(mqttfake.Options{})
	addr, err := b.Listen()
	require.NoError(t, err)
	defer b.Close()
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://" + addr}, ClientID: "bridge", Filters: []mqtt.Subscription{{Filter: "t/#", QoS: 1}}, Logger: quiet,
	})
	require.NoError(t, err)
	r, err := rule.New(rule.Config{Name: "r", SQL: poisoned, Actions: []rule.Action{{Sink: "out"}}})
	require.NoError(t, err)
	var mu sync.Mutex
	var good, dead []string
	reasons := make(map[string]int)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"r": r},
		Sinks: map[string]bridge.Sink{
			"out": bridge.SinkFunc(func(_ context.Context, batch *bridge.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				for i := range batch.Records {
					good = append(good, string(batch.Records[i].Data))
				}
				return nil
			}),
			"dead": bridge.SinkFunc(func(_ context.Context, batch *bridge.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				for i := range batch.Records {
					dead = append(dead, string(batch.Records[i].Data))
					for _, a := range batch.Records[i].Attrs {
						if _, text, found := strings.Cut(string(a.Value), `budget "`); found && a.Name == "error" {
							name, _, _ := strings.Cut(text, `"`)
							reasons[name]++
						}
					}
				}
				return nil
			}),
		},
		RuleFallback: "dead",
		Logger:       quiet,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	require.Eventually(t, func() bool { return len(b.Subscriptions("bridge")) == 1 }, patience, time.Millisecond)

	var wantGood, wantDead []string
	want := make(map[string]int)
	for i := range n {
		poison := poisons[i%len(poisons)]
		payload := strings.TrimSuffix(poison.payload, "}") + fmt.Sprintf(`,"seq":%d}`, i)
		b.Publish(mqttfake.Message{Topic: "t/poison", QoS: 1, Payload: []byte(payload)})
		wantDead = append(wantDead, payload)
		want[poison.budget]++
		if i%10 == 0 {
			b.Publish(mqttfake.Message{Topic: "t/good", QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d}`, i)})
			wantGood = append(wantGood, fmt.Sprintf(`{"x":%d}`, i))
		}
	}
	var most uint64
	require.Eventually(t, func() bool {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		mu.Lock()
		defer mu.Unlock()
		return len(dead) >= n && len(good) >= len(wantGood) && b.Pending() == 0
	}, 3*time.Minute, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, wantGood, good)
	slices.Sort(dead) // of several keys
	slices.Sort(wantDead)
	require.Equal(t, wantDead, dead)
	require.Equal(t, want, reasons)
	require.Equal(t, n+len(wantGood), b.Acked())
	require.Less(t, most, uint64(200<<20))
	require.EqualValues(t, n, p.Stats().Rules["r"].Exception)
	t.Logf("%d MiB", most>>20)
}
