package itest

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/source/mqtt"
)

// clientCase is the MQTT source and a publisher at some broker. Names are its own, so
// that it disturbs nobody at a broker that others use.
type clientCase struct {
	*testing.T
	url     string
	prefix  string // of topics and client ids
	version int    // of MQTT; 0: what the broker speaks
}

// brokerURL returns the broker that the environment names; see docs/mqtt.md.
func brokerURL() string { return os.Getenv("SLUICE_MQTT_BROKER") }

// TestMQTTClient runs the source against Mosquitto and the embedded broker, in both
// versions of MQTT, and the broker that the environment names.
func TestMQTTClient(t *testing.T) {
	onMosquitto := func(t *testing.T) string { t.Helper(); return mosquitto(t).url }
	onEmbedded := func(t *testing.T) string { t.Helper(); return embedded(t).url }
	for name, tt := range map[string]struct {
		start   func(t *testing.T) string
		version int
	}{
		"mosquitto":             {onMosquitto, 5},
		"mosquitto, MQTT 3.1.1": {onMosquitto, 4},
		"embedded":              {onEmbedded, 5},
		"embedded, MQTT 3.1.1":  {onEmbedded, 4},
		"environment":           {func(*testing.T) string { return brokerURL() }, 0},
	} {
		if name == "environment" && brokerURL() == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			url := tt.start(t)
			t.Run("suite", func(t *testing.T) { conformance(t, url, tt.version) })
			for name, test := range map[string]func(c *clientCase){
				"levels": everyQoS, "session": resumesSession, "columns": properties, "subscriptions": changesSubscriptions,
			} {
				if name == "columns" && tt.version == 4 {
					continue // there are no properties
				}
				t.Run(name, func(t *testing.T) {
					test(&clientCase{t, url, "sluice-" + rand.Text(), tt.version})
				})
			}
		})
	}
}

func (c *clientCase) config() mqtt.Config {
	return mqtt.Config{
		Brokers: []string{c.url}, ClientID: c.prefix, StartTimeout: patience, ProtocolVersion: c.version,
		Username: os.Getenv("SLUICE_MQTT_USERNAME"), Password: os.Getenv("SLUICE_MQTT_PASSWORD"), CAFile: os.Getenv("SLUICE_MQTT_CA"),
		Filters:    []mqtt.Subscription{{Filter: c.prefix + "/#", QoS: 2}},
		BackoffMin: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a source. When the test ends its session is ended, too.
func (c *clientCase) open(cfg mqtt.Config) *mqtt.Source {
	c.Helper()
	s, err := mqtt.New(cfg)
	require.NoError(c, err)
	require.NoError(c, s.Open(c.Context()))
	c.Cleanup(func() {
		_ = s.Close(context.Background())
		cfg.CleanStart, cfg.SessionExpiry = true, -1
		last, err := mqtt.New(cfg)
		require.NoError(c, err)
		require.NoError(c, last.Open(context.Background()))
		require.NoError(c, last.Close(context.Background()))
	})
	return s
}

// publisher connects a client that is not ours.
func (c *clientCase) publisher() *paho.Client {
	c.Helper()
	u, err := url.Parse(c.url)
	require.NoError(c, err)
	var conn net.Conn
	switch cfg := c.config(); u.Scheme {
	case "mqtts", "ssl", "tls":
		conn, err = tls.Dial("tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "8883")), &tls.Config{RootCAs: pool(c.T, cfg.CAFile)})
		conn = packets.NewThreadSafeConn(conn)
	default:
		conn, err = net.Dial("tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "1883")))
	}
	require.NoError(c, err)
	client := paho.NewClient(paho.ClientConfig{Conn: conn})
	cp := &paho.Connect{ClientID: "pub-" + rand.Text(), CleanStart: true, KeepAlive: 30}
	if user := c.config().Username; user != "" {
		cp.Username, cp.UsernameFlag, cp.Password, cp.PasswordFlag = user, true, []byte(c.config().Password), true
	}
	_, err = client.Connect(c.Context(), cp)
	require.NoError(c, err)
	c.Cleanup(func() { _ = client.Disconnect(&paho.Disconnect{}) })
	return client
}

// pool is what a file of authorities holds, nil for the system's own.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	p := x509.NewCertPool()
	require.True(t, p.AppendCertsFromPEM(text))
	return p
}

func (c *clientCase) publish(client *paho.Client, name string, qos byte, from, to int) {
	c.Helper()
	for i := from; i < to; i++ {
		_, err := client.Publish(c.Context(), &paho.Publish{Topic: c.prefix + "/" + name, QoS: qos, Payload: fmt.Append(nil, i)})
		require.NoError(c, err)
	}
}

func (c *clientCase) read(s *mqtt.Source, n int) []bridge.Message {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	msgs := make([]bridge.Message, n)
	for have := 0; have < n; {
		k, err := s.Read(ctx, msgs[have:])
		require.NoError(c, err, "%d of %d: %v", have, n, s.Check(ctx))
		have += k
	}
	return msgs
}

func (c *clientCase) inOrder(msgs []bridge.Message, from int) {
	c.Helper()
	for i, m := range msgs {
		require.Equal(c, fmt.Sprint(from+i), string(m.Payload))
	}
}

func settle(msgs []bridge.Message, err error) {
	o := bridge.Stored
	if err != nil {
		o = bridge.Abandoned
	}
	for _, m := range msgs {
		m.Delivery.Done(o, err)
	}
}

// conformance runs the suite that every source has to pass.
func conformance(t *testing.T, broker string, version int) {
	t.Helper()
	cases := map[bridge.Source]*clientCase{}
	topic := "sluice-" + rand.Text()
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		Topic: topic,
		Leaky: true, // the broker of ours is in this process
		New: func(t *testing.T) bridge.Source {
			t.Helper()
			c := &clientCase{t, broker, "sluice-" + rand.Text(), version}
			cfg := c.config()
			cfg.Filters[0].Filter = topic
			cfg.SessionExpiry = -1
			s, err := mqtt.New(cfg)
			require.NoError(t, err)
			cases[s] = c
			return s
		},
		Publish: func(t *testing.T, s bridge.Source, msgs []bridge.Message) {
			t.Helper()
			eventually(t, "a subscription", func() bool { return s.(*mqtt.Source).Check(t.Context()) == nil })
			client := cases[s].publisher()
			for _, m := range msgs {
				_, err := client.Publish(t.Context(), &paho.Publish{Topic: m.Topic, QoS: 1, Payload: m.Payload})
				require.NoError(t, err)
			}
		},
	})
}

func everyQoS(c *clientCase) {
	s, client := c.open(c.config()), c.publisher()
	for qos := byte(1); qos <= 2; qos++ {
		c.publish(client, "a", qos, 0, 500)
		msgs := c.read(s, 500)
		c.inOrder(msgs, 0)
		require.Equal(c, qos, msgs[0].QoS)
		settle(msgs, nil)
	}
	c.publish(client, "a", 0, 0, 1)
	require.Zero(c, c.read(s, 1)[0].QoS)
	eventually(c.T, "all acknowledgements", func() bool { return s.Stats().Connections[0].InFlight == 0 })
}

// resumesSession ends with messages unsettled and comes back for them.
func resumesSession(c *clientCase) {
	first, client := c.open(c.config()), c.publisher()
	c.publish(client, "a", 1, 0, 20)
	msgs := c.read(first, 20)
	settle(msgs[:5], nil)
	require.NoError(c, first.Close(c.Context()))
	c.publish(client, "a", 1, 20, 30)
	s := c.open(c.config())
	again := c.read(s, 25)
	c.inOrder(again, 5)
	require.True(c, again[0].Dup)
	settle(again, nil)
	eventually(c.T, "all acknowledgements", func() bool { return s.Stats().Connections[0].InFlight == 0 })
}

func properties(c *clientCase) {
	cfg := c.config()
	cfg.Filters[0].ID = 77
	s, client := c.open(cfg), c.publisher()
	one, expiry := byte(1), uint32(600)
	_, err := client.Publish(c.Context(), &paho.Publish{
		Topic: c.prefix + "/p", QoS: 2, Payload: []byte("x"),
		Properties: &paho.PublishProperties{
			PayloadFormat: &one, MessageExpiry: &expiry, ContentType: "text/plain", ResponseTopic: "r", CorrelationData: []byte("c"),
			User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		},
	})
	require.NoError(c, err)
	m := c.read(s, 1)[0]
	require.NotNil(c, m.Props)
	require.Equal(c, []int{77}, m.Props.SubscriptionIDs)
	require.Equal(c, one, *m.Props.PayloadFormat)
	require.LessOrEqual(c, *m.Props.MessageExpiry, expiry)
	require.Equal(c, "text/plain", m.Props.ContentType)
	require.Equal(c, "r", m.Props.ResponseTopic)
	require.Equal(c, "c", string(m.Props.CorrelationData))
	require.Equal(c, []bridge.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}, m.Props.User)
	m.Delivery.Done(bridge.Stored, nil)
}

func changesSubscriptions(c *clientCase) {
	cfg := c.config()
	cfg.Filters[0].Filter = c.prefix + "/a"
	s, client := c.open(cfg), c.publisher()
	c.publish(client, "a", 1, 0, 5)
	require.NoError(c, s.SetSubscriptions(c.Context(), []mqtt.Subscription{{Filter: c.prefix + "/b", QoS: 1}}))
	c.publish(client, "a", 1, 5, 6)
	c.publish(client, "b", 1, 5, 10)
	msgs := c.read(s, 10)
	c.inOrder(msgs, 0)
	require.Equal(c, c.prefix+"/b", msgs[5].Topic)
	settle(msgs, nil)
}
