package mqtt

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

func TestReferred(t *testing.T) {
	cfg := Config{FollowHosts: []string{"b.test", "*.cluster.test", "::1"}}
	for reference, want := range map[string]string{
		"b.test":                        "wss://b.test:443/mqtt?q=1",
		"B.test:8443":                   "wss://B.test:8443/mqtt?q=1",
		"evil.test b.test":              "wss://b.test:443/mqtt?q=1",
		"n1.cluster.test:1 b.test":      "wss://n1.cluster.test:1/mqtt?q=1",
		"[::1]:9":                       "wss://[::1]:9/mqtt?q=1",
		"[::1]":                         "wss://[::1]:443/mqtt?q=1",
		"evil.test":                     "",
		"cluster.test":                  "",
		"evilcluster.test":              "",
		"b.test.evil.test":              "",
		"a.test:443":                    "",
		"user:password@b.test":          "",
		"b.test/path":                   "",
		"":                              "",
		"mqtt://b.test":                 "",
		"n1.cluster.test.evil.test:443": "",
	} {
		from, err := url.Parse("wss://a.test:443/mqtt?q=1")
		require.NoError(t, err)
		got := ""
		if u := cfg.referred(from, reference); u != nil {
			got = u.String()
		}
		require.Equal(t, want, got, reference)
	}
	require.Nil(t, cfg.referred(&url.URL{Scheme: "unix", Path: "/s"}, "b.test"))
	require.Error(t, validateHost("*"))
	require.Error(t, validateHost("b.test:1883"))
	require.Error(t, validateHost("mqtt://b.test"))
	require.NoError(t, validateHost("*.b.test"))
}

// dials remembers which hosts are connected to, and which of them answer.
type dials struct {
	mu    sync.Mutex
	to    map[string]*mqttfake.Broker
	hosts []string
}

func (d *dials) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.hosts = append(d.hosts, addr)
	b := d.to[addr]
	d.mu.Unlock()
	if b == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	return b.Dial(ctx, network, addr)
}

func (d *dials) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hosts
}

// refusing is a broker that names another one in CONNACK.
func refusing(code byte, reference string) *mqttfake.Broker {
	return mqttfake.New(mqttfake.Options{Connect: func(*packets.Connect) *packets.Connack {
		return &packets.Connack{ReasonCode: code, Properties: &packets.Properties{ServerReference: reference}}
	}})
}

func TestFollowsServerReference(t *testing.T) {
	for _, code := range []byte{packets.DisconnectUseAnotherServer, packets.DisconnectServerMoved} {
		synctest.Test(t, func(t *testing.T) {
			a, b := refusing(code, "b.test:99"), mqttfake.New(mqttfake.Options{})
			defer a.Close()
			defer b.Close()
			d := &dials{to: map[string]*mqttfake.Broker{"a.test:1883": a, "b.test:99": b}}
			cfg := fakeConfig(nil)
			cfg.Brokers, cfg.FollowHosts, cfg.Dial = []string{"mqtt://a.test"}, []string{"b.test"}, d.dial
			s := open(t, cfg)
			defer s.Close(context.Background())
			require.NoError(t, s.Check(t.Context()))
			require.Equal(t, "mqtt://b.test:99", s.Stats().Connections[0].Broker)
			require.ErrorContains(t, s.Stats().Connections[0].LastError, "names b.test:99, where the source goes now")

			// It stays there as long as it can.
			b.Cut()
			time.Sleep(time.Second)
			require.NoError(t, s.Check(t.Context()))
			require.Equal(t, []string{"a.test:1883", "b.test:99", "b.test:99"}, d.all())
			b.Close()
			time.Sleep(time.Minute)
			require.Contains(t, d.all()[3:], "a.test:1883", "else the configured ones are tried again")
		})
	}
}

func TestFollowsServerReferenceOfDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mqttfake.New(mqttfake.Options{}), mqttfake.New(mqttfake.Options{})
		defer a.Close()
		defer b.Close()
		d := &dials{to: map[string]*mqttfake.Broker{"a.test:1883": a, "b.test:1883": b}}
		cfg := fakeConfig(nil)
		cfg.Brokers, cfg.FollowHosts, cfg.Dial = []string{"mqtt://a.test"}, []string{"*.test"}, d.dial
		s := open(t, cfg)
		defer s.Close(context.Background())
		a.Disconnect(packets.DisconnectUseAnotherServer, "b.test")
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, "mqtt://b.test:1883", s.Stats().Connections[0].Broker)
	})
}

// TestFollowsNobodyUnasked checks that credentials go to configured hosts only, and
// that brokers that name each other are not followed for ever without pause.
func TestFollowsNobodyUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := refusing(packets.DisconnectServerMoved, "b.test")
		defer a.Close()
		d := &dials{to: map[string]*mqttfake.Broker{"a.test:1883": a}}
		cfg := fakeConfig(nil)
		cfg.Brokers, cfg.Dial = []string{"mqtt://a.test"}, d.dial
		s, err := New(cfg)
		require.NoError(t, err)
		require.ErrorContains(t, s.Open(t.Context()), "names b.test, which is not in FollowHosts")
		require.Equal(t, []string{"a.test:1883"}, d.all())
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := refusing(packets.DisconnectServerMoved, "b.test"), refusing(packets.DisconnectServerMoved, "a.test")
		defer a.Close()
		defer b.Close()
		d := &dials{to: map[string]*mqttfake.Broker{"a.test:1883": a, "b.test:1883": b}}
		cfg := fakeConfig(nil)
		cfg.Brokers, cfg.FollowHosts, cfg.Dial = []string{"mqtt://a.test"}, []string{"a.test", "b.test"}, d.dial
		s, err := New(cfg)
		require.NoError(t, err)
		require.ErrorContains(t, s.Open(t.Context()), "one of too many in a row")
		require.Len(t, d.all(), 1+maxHops)
	})
}

// TestReasonsOfDisconnect checks that what a broker says as it ends a connection is
// shown, and that the source comes back.
func TestReasonsOfDisconnect(t *testing.T) {
	for code, want := range map[byte]string{
		packets.DisconnectQuotaExceeded:          "quota exceeded (0x97)",
		packets.DisconnectServerShuttingDown:     "server shutting down (0x8B)",
		packets.DisconnectMaximumConnectTime:     "maximum connect time (0xA0)",
		packets.DisconnectReceiveMaximumExceeded: "receive maximum exceeded (0x93)",
		packets.DisconnectServerMoved:            "server moved (0x9D): the broker names other.test, which is not in FollowHosts",
	} {
		withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			b.Disconnect(code, map[bool]string{true: "other.test"}[code == packets.DisconnectServerMoved])
			synctest.Wait()
			err := s.Check(t.Context())
			require.ErrorContains(t, err, want)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, code, e.Code)
			time.Sleep(time.Second)
			require.NoError(t, s.Check(t.Context()))
		})
	}
}
