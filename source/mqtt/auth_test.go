package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// greeting is an exchange of three steps: hello, the name that the broker asks for,
// and a farewell that has to name the same number as the challenge.
type greeting struct {
	name   string
	number string
}

func (*greeting) Start() ([]byte, error) { return []byte("hello"), nil }

func (g *greeting) Continue(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return nil, errors.New("an empty challenge")
	}
	g.number = string(challenge)
	return []byte(g.name + " " + g.number), nil
}

func (g *greeting) Finish(data []byte) error {
	if string(data) != "welcome "+g.number {
		return fmt.Errorf("the broker said %q", data)
	}
	return nil
}

// greeter is a broker's side of it.
type greeter struct {
	mu    sync.Mutex
	n     int
	codes []byte // for the names, in turn; the last one stays
	data  []byte // in place of a farewell
}

func (g *greeter) step(_ string, data []byte) ([]byte, byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(data) == "hello" {
		g.n++
		return fmt.Append(nil, g.n), packets.AuthContinueAuthentication
	}
	if string(data) != fmt.Sprintf("me %d", g.n) {
		return nil, packets.ConnackNotAuthorized
	}
	code := g.codes[0]
	if len(g.codes) > 1 {
		g.codes = g.codes[1:]
	}
	if g.data != nil {
		return g.data, code
	}
	return fmt.Appendf(nil, "welcome %d", g.n), code
}

// say sets what it says in place of its farewell.
func (g *greeter) say(data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.data = data
}

// challenges returns how many exchanges were begun.
func (g *greeter) challenges() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func greet(name string) func(*Config) {
	return func(c *Config) {
		c.Auth = &Auth{Method: "greeting", Begin: func(context.Context) (Exchange, error) { return &greeting{name: name}, nil }}
	}
}

// withGreeter runs a test in fake time against a broker that authenticates.
func withGreeter(t *testing.T, g *greeter, name string, test func(t *testing.T, b *mqttfake.Broker, s *Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{Authenticate: g.step})
		defer b.Close()
		cfg := fakeConfig(b)
		greet(name)(&cfg)
		s, err := New(cfg)
		require.NoError(t, err)
		defer s.Close(context.Background())
		test(t, b, s)
	})
}

func TestAuthChallenge(t *testing.T) {
	withGreeter(t, &greeter{codes: []byte{0}}, "me", func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.NoError(t, s.Open(t.Context()))
		b.Cut()
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()), "every connection has an exchange of its own")
	})
}

func TestAuthFails(t *testing.T) {
	tests := map[string]struct {
		greeter *greeter
		name    string
		want    string
	}{
		"refused":           {&greeter{codes: []byte{0}}, "somebody", "not authorized (0x87)"},
		"bad method":        {&greeter{codes: []byte{0x8C}}, "me", "bad authentication method (0x8C)"},
		"broker not proven": {&greeter{codes: []byte{0}, data: []byte("welcome 9")}, "me", `Auth: the broker said "welcome 9"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			withGreeter(t, tt.greeter, tt.name, func(t *testing.T, b *mqttfake.Broker, s *Source) {
				err := s.Open(t.Context())
				if name == "broker not proven" { // who knows whom we have talked to
					require.NoError(t, err)
					err = s.Check(t.Context())
				}
				require.ErrorContains(t, err, tt.want)
				require.Empty(t, b.Subscriptions("c1"))
			})
		})
	}
}

func TestReauthenticate(t *testing.T) {
	g := &greeter{codes: []byte{0, 0, packets.DisconnectNotAuthorized, 0}}
	withGreeter(t, g, "me", func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.NoError(t, s.Open(t.Context()))
		send(b, 1, 0, 3)
		msgs := readN(t, s, 3)
		require.NoError(t, s.Reauthenticate(t.Context()))
		require.Equal(t, 2, g.challenges())
		settle(msgs, nil)
		synctest.Wait()
		require.Equal(t, 3, b.Acked(), "the connection goes on")
		require.Zero(t, s.Stats().Reconnects)

		require.ErrorContains(t, s.Reauthenticate(t.Context()), "not authorized (0x87)")
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()), "the next connection has authenticated anew")
		require.EqualValues(t, 1, s.Stats().Reconnects)
		require.Equal(t, 4, g.challenges())
	})
}

func TestReauthenticateFails(t *testing.T) {
	t.Run("silence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := &greeter{codes: []byte{0}}
			b := mqttfake.New(mqttfake.Options{Authenticate: g.step, Hook: func(e mqttfake.Event) mqttfake.Action {
				return mqttfake.Action{Skip: e.FromPeer && e.Packet.Type == packets.AUTH}
			}})
			defer b.Close()
			cfg := fakeConfig(b)
			greet("me")(&cfg)
			s := open(t, cfg)
			defer s.Close(context.Background())
			require.ErrorIs(t, s.Reauthenticate(t.Context()), errAuthSilent)
			time.Sleep(time.Second)
			require.NoError(t, s.Check(t.Context()))
			require.EqualValues(t, 1, s.Stats().Reconnects)
		})
	})
	t.Run("not proven", func(t *testing.T) {
		g := &greeter{codes: []byte{0}}
		withGreeter(t, g, "me", func(t *testing.T, _ *mqttfake.Broker, s *Source) {
			require.NoError(t, s.Open(t.Context()))
			g.say([]byte("welcome, whoever you are"))
			require.ErrorContains(t, s.Reauthenticate(t.Context()), "whoever you are")
			g.say(nil)
			time.Sleep(time.Second)
			require.NoError(t, s.Check(t.Context()))
		})
	})
	t.Run("not configured", func(t *testing.T) {
		withFake(t, mqttfake.Options{}, nil, func(t *testing.T, _ *mqttfake.Broker, s *Source) {
			require.ErrorIs(t, s.Reauthenticate(t.Context()), errNoAuth)
		})
	})
}

// TestUnaskedAuth checks what becomes of a broker that begins an authentication by
// itself, which is not its turn.
func TestUnaskedAuth(t *testing.T) {
	ask := func(b *mqttfake.Broker) {
		b.Send(packets.AUTH, &packets.Auth{
			ReasonCode: packets.AuthContinueAuthentication, Properties: &packets.Properties{AuthMethod: "greeting", AuthData: []byte("who?")},
		})
	}
	withGreeter(t, &greeter{codes: []byte{0}}, "me", func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.NoError(t, s.Open(t.Context()))
		ask(b)
		synctest.Wait()
		require.ErrorIs(t, s.Check(t.Context()), errUnasked)
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
	})
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		ask(b)
		synctest.Wait()
		require.ErrorIs(t, s.Check(t.Context()), errAuth)
	})
}
