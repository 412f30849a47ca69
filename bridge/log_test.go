package bridge_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// logged runs messages through a rule and a sink that refuse some, and returns the
// log without times.
func logged(t *testing.T, payload int, msgs ...bridge.Message) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		src := new(bridgetest.Source)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(b *bridge.Out, m *bridge.Message) error {
				if m.ClientID == "rule" {
					return errors.New("no number" + m.Username)
				}
				b.Add(bridge.Record{Data: m.Payload})
				return nil
			}, "#")},
			Sinks: map[string]bridge.Sink{"s": &bridgetest.Sink{Fault: func(int, *bridge.Record) bridgetest.Fault {
				return bridgetest.Fault{Err: bridge.Permanent(errors.New("too large"))}
			}}},
			LogPayload: payload, Workers: 1,
			Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})),
		})
		require.NoError(t, err)
		for _, m := range msgs {
			src.Publish(m)
		}
		src.End()
		require.NoError(t, p.Run(t.Context()))
	})
	return out.String()
}

func TestLogPayload(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("secret ", 10)
	refused := bridge.Message{Topic: "t/1", ClientID: "rule", Payload: []byte(secret)}
	given := bridge.Message{Topic: "t/2", Payload: []byte(secret)}
	require.Equal(t, `level=WARN msg="rule failed" rule=r count=1 error="no number" topic=t/1
level=WARN msg="sink gave up records" sink=s count=1 error="too large" outcome=refused rule=r topic=t/2
`, logged(t, 0, refused, given))
	require.Equal(t, `level=WARN msg="rule failed" rule=r count=1 error="no number" topic=t/1 payload="secret sec…"
level=WARN msg="sink gave up records" sink=s count=1 error="too large" outcome=refused rule=r topic=t/2 data="secret sec…"
`, logged(t, 10, refused, given))
	require.Contains(t, logged(t, 10, bridge.Message{Topic: "t", ClientID: "rule", Payload: []byte{0xff}}), `payload="base64:/w=="`)
}

// TestLogCutsErrors: an error can be about a value of the message.
func TestLogCutsErrors(t *testing.T) {
	t.Parallel()
	long := bridge.Message{Topic: "t", ClientID: "rule", Username: strings.Repeat("x", 5000)}
	require.Less(t, len(logged(t, 0, long)), 1200)
}

// TestLogRepeats logs a line that repeats once, with the number.
func TestLogRepeats(t *testing.T) {
	t.Parallel()
	var msgs []bridge.Message
	for range 1000 {
		msgs = append(msgs, bridge.Message{Topic: "t", ClientID: "rule", Received: time.Now()})
	}
	require.Equal(t, 1, strings.Count(logged(t, 0, msgs...), "rule failed"))
}
