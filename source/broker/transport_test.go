package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// certificate returns a certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool.AddCert(leaf)
	return cert, pool
}

// stream is a WebSocket as a net.Conn, for the client's side.
type stream struct {
	*websocket.Conn
	rest []byte
	mu   sync.Mutex // the client writes from several goroutines
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		_, b, err := s.ReadMessage()
		if err != nil {
			return 0, err
		}
		s.rest = b
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Write sends every byte in a frame of its own, which MQTT allows.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p {
		if err := s.WriteMessage(websocket.BinaryMessage, p[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func TestTransports(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	clientTLS := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
	socket := filepath.Join(t.TempDir(), "mqtt.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())

	logins := make(chan broker.Login, 10)
	src := open(t, broker.Config{
		Authenticate: func(_ context.Context, l broker.Login) error { logins <- l; return nil },
		Listeners: []broker.Listener{
			{URL: "mqtt://127.0.0.1:0"},
			{URL: "mqtts://127.0.0.1:0", TLS: server},
			{URL: "ws://127.0.0.1:0/mqtt"},
			{URL: "wss://127.0.0.1:0", TLS: server},
			{URL: "unix://" + socket},
		},
	})
	drain(t, src)
	urls := src.URLs()
	require.Len(t, urls, 5)
	web := func(url string) (net.Conn, error) {
		d := websocket.Dialer{TLSClientConfig: clientTLS, Subprotocols: []string{"mqtt"}}
		ws, resp, err := d.DialContext(t.Context(), url, nil)
		if err != nil {
			return nil, err
		}
		require.Equal(t, "mqtt", resp.Header.Get("Sec-Websocket-Protocol"))
		return &stream{Conn: ws}, nil
	}
	for i, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("tcp", urls[0][len("mqtt://"):]) },
		func() (net.Conn, error) { return tls.Dial("tcp", urls[1][len("mqtts://"):], clientTLS) },
		func() (net.Conn, error) { return web(urls[2]) },
		func() (net.Conn, error) { return web(urls[3]) },
		func() (net.Conn, error) { return net.Dial("unix", socket) },
	} {
		nc, err := dial()
		require.NoError(t, err, urls[i])
		t.Cleanup(func() { _ = nc.Close() })
		c := connectOn(t, nc, &paho.Connect{ClientID: urls[i], CleanStart: true})
		login := receive(t, logins)
		require.Equal(t, i == 1 || i == 3, login.TLS != nil)
		require.Equal(t, urls[i] != urls[4], login.PeerHost == "127.0.0.1")
		c.subscribe("echo", 1)
		big := make([]byte, 100_000)
		_, err = c.Publish(t.Context(), &paho.Publish{Topic: "echo", QoS: 1, Payload: big})
		require.NoError(t, err, urls[i])
		require.Len(t, receive(t, c.got).Payload, len(big))
	}
	_, err = os.Stat(socket)
	require.NoError(t, err)
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	src, err := broker.New(broker.Config{Logger: quiet(), Listeners: []broker.Listener{
		{URL: "mqtt://127.0.0.1:0"}, {URL: "mqtt://" + taken.Addr().String()},
	}})
	require.NoError(t, err)
	require.ErrorContains(t, src.Open(t.Context()), "address already in use")
	require.Nil(t, src.Addr())
	require.NoError(t, src.Close(t.Context()))

	socket := filepath.Join(t.TempDir(), "s")
	inUse, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer inUse.Close()
	src, err = broker.New(broker.Config{Logger: quiet(), Listeners: []broker.Listener{{URL: "unix://" + socket}}})
	require.NoError(t, err)
	require.ErrorContains(t, src.Open(t.Context()), "address already in use")
	require.NoError(t, src.Close(t.Context()))
}

func TestAuthenticationAndAuthorization(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{
		Authenticate: func(_ context.Context, l broker.Login) error {
			if l.Username != "ann" || string(l.Password) != "secret" {
				return broker.ErrNotAuthenticated
			}
			return nil
		},
		Authorize: func(c broker.Client, a broker.Access, topic string) bool {
			return c.Username == "ann" && (a == broker.Publish && topic == "up" || a == broker.Subscribe && topic == "down/#")
		},
	})
	_, ack, err := tryConnect(t, dial(t, src), &paho.Connect{ClientID: "c", CleanStart: true, Username: "ann", UsernameFlag: true, Password: []byte("wrong"), PasswordFlag: true})
	require.Error(t, err)
	require.Equal(t, byte(0x86), ack.ReasonCode)

	c := connectOn(t, dial(t, src), &paho.Connect{ClientID: "c", CleanStart: true, Username: "ann", UsernameFlag: true, Password: []byte("secret"), PasswordFlag: true})
	drain(t, src)
	c.publish("up", 1, "x")
	for qos := byte(1); qos <= 2; qos++ {
		resp, _ := c.Publish(t.Context(), &paho.Publish{Topic: "forbidden", QoS: qos})
		require.Equal(t, byte(0x87), resp.ReasonCode)
	}
	c.publish("forbidden", 0, "x")
	c.publish("up", 1, "x")
	require.EqualValues(t, 2, src.Stats().Received)
	require.EqualValues(t, 3, src.Stats().Refused)

	sub, _ := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: "down/#", QoS: 1}, {Topic: "#", QoS: 1}, {Topic: "bad/#/filter"}, {Topic: "a+"}, {Topic: "$share/g/down/#"}, {Topic: "$share/g/up"}, {Topic: "$SHARE/g/up"},
	}})
	require.Equal(t, []byte{1, 0x87, 0x8f, 0x8f, 0, 0x87, 0x8f}, sub.Reasons)
}

// TestReservedTopics: a client cannot pretend to be an event.
func TestReservedTopics(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	c := connect(t, src, "c")
	for _, topic := range []string{"$SYS/broker/uptime", "$events/client/connected", "$share/g/t", "$sources/x", "$bridges/x"} {
		resp, err := c.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: 1})
		require.Error(t, err)
		require.Equal(t, byte(0x87), resp.ReasonCode, topic)
	}
	c.publish("$other", 1, "x")
	require.EqualValues(t, 1, src.Stats().Received)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		src := open(t, broker.Config{Limits: broker.Limits{Clients: 2}})
		a, _ := connectRaw(t, src, "a", true), connectRaw(t, src, "b", true)
		_, err := dialRaw(t, src).r.ReadByte()
		require.Error(t, err)
		require.EqualValues(t, 1, src.Stats().Rejected)
		a.drop()
		require.Eventually(t, func() bool { return src.Stats().Connections == 1 }, patience, time.Millisecond)
		connectRaw(t, src, "c", true)
	})
	t.Run("connections from one host", func(t *testing.T) {
		t.Parallel()
		src := open(t, broker.Config{Limits: broker.Limits{ClientsPerHost: 1}})
		connectRaw(t, src, "a", true)
		_, err := dialRaw(t, src).r.ReadByte()
		require.Error(t, err)
	})
	t.Run("packet size", func(t *testing.T) {
		t.Parallel()
		src := open(t, broker.Config{Limits: broker.Limits{PacketBytes: 1000}})
		drain(t, src)
		r := connectRaw(t, src, "a", true)
		r.publish(1, 1, string(make([]byte, 900)))
		r.expectPuback(1, 0)
		r.publish(2, 1, string(make([]byte, 1000)))
		r.expectDisconnect(0x95)
		r.expectEnd()
	})
	t.Run("no CONNECT", func(t *testing.T) {
		t.Parallel()
		src := open(t, broker.Config{Limits: broker.Limits{ConnectTimeout: 10 * time.Millisecond}})
		_, err := dialRaw(t, src).r.ReadByte()
		require.Error(t, err)
	})
	t.Run("invalid topic", func(t *testing.T) {
		t.Parallel()
		src := open(t, broker.Config{})
		r := connectRaw(t, src, "a", true)
		r.send(&packets.Publish{Topic: "a/#", QoS: 1, PacketID: 1, Properties: &packets.Properties{}})
		r.expectDisconnect(0x82)
	})
}
