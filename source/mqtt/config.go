package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// NeverExpires is the session expiry of a session that the broker keeps until
// it is told otherwise (MQTT 5.0, section 3.1.2.11.2: 0xFFFFFFFF seconds).
const NeverExpires = math.MaxUint32 * time.Second

// Config configures a Source. Brokers, Filters and, for a session that outlives
// the process, ClientID have to be set; the zero value of everything else is a
// useful default.
type Config struct {
	// Auth is MQTT 5 enhanced authentication; nil means none.
	Auth *Auth

	// BackoffMin and BackoffMax bound the wait between two attempts to
	// connect. It doubles from the one to the other, less a random part of
	// up to a half. A connection that does not last ten seconds counts as a
	// failed attempt. Defaults: 500 ms and 30 s.
	BackoffMin time.Duration
	BackoffMax time.Duration

	// Brokers are the URLs of one broker or of the nodes of one cluster,
	// tried in turn: mqtt://host:1883 (also tcp), mqtts://host:8883 (also
	// ssl, tls), ws://host/path, wss://host/path and unix:///path. The port
	// may be left out. A user and password in a URL are refused: URLs end up
	// in logs.
	Brokers []string

	// BufferBytes bounds the memory of the messages that the source has received and
	// not finished with: payloads, topics and decoded properties of what waits for
	// Read and, with QoS 1 and 2, for its acknowledgement. When it is reached the
	// sockets are not read, and QoS 0 messages that do get here are dropped; it is
	// exceeded by at most one read of each connection, 64 KiB or one larger message.
	// Default 64 MiB.
	BufferBytes int
	// BufferQoS0 bounds the QoS 0 messages that wait for Read; what comes
	// beyond is dropped and counted (Stats.DroppedQoS0), because MQTT has no
	// flow control for it. QoS 1 and 2 are bounded by ReceiveMaximum.
	// Default 65,536.
	BufferQoS0 int

	// CAFile, CertFile and KeyFile are PEM files: the certificate
	// authorities that sign the broker's certificate (default: the system's)
	// and the client's certificate with its key. They are read again for
	// every connection, so that they can be replaced while the source runs.
	CAFile   string
	CertFile string
	KeyFile  string

	// CleanStart discards the session of an earlier run, with every message
	// that the broker kept for it. Reconnects always resume the session.
	CleanStart bool

	// ClientID names the session at the broker; two running sources must not
	// share it. With Connections > 1, "-1", "-2", … are appended. It may be
	// empty with CleanStart only: the broker then chooses one.
	ClientID string

	// ClientIDFrom and UsernameFrom say where the client id and the user name of a
	// message's publisher are (Message.ClientID, Message.Username). Default nowhere:
	// both are empty.
	ClientIDFrom Origin
	UsernameFrom Origin

	// Connections is the number of connections. Shared subscriptions
	// ("$share/group/filter") are made on each of them, so that the broker
	// divides the messages; other filters are divided among them. Order is
	// kept per connection. Default 1, at most 256.
	Connections int

	// ConnectTimeout bounds one attempt to connect, up to the broker's
	// answer, and the silence before the answer to a subscription: time does
	// not count while messages come in or wait for Read. Default 10 s.
	ConnectTimeout time.Duration

	// Credentials, when set, is asked for the user name and password before
	// every attempt to connect, for tokens that expire. It replaces Username
	// and Password.
	Credentials func(ctx context.Context) (username string, password []byte, err error)

	// Dial, when set, makes the network connections, of network "tcp" or
	// "unix"; TLS and WebSocket are still done here. It excludes Proxy.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// DisableFastPath leaves the decoding of PUBLISH packets to paho's codec
	// instead of splitting them off the stream. It costs about six times the
	// CPU and exists for comparison.
	DisableFastPath bool

	// Filters are the subscriptions, at least one.
	Filters []Subscription

	// FollowHosts are the hosts that the source goes to, with its credentials,
	// when a broker names them as it turns the source away ("use another
	// server", "server moved"): "node2.example.com", or "*.example.com" for
	// every host below. Scheme and path stay. The configured brokers are tried
	// again as soon as that broker cannot be connected to. Default none: what
	// the broker names is reported and not followed.
	FollowHosts []string

	// KeepAlive is the longest silence on the connection before the broker is
	// asked whether it is still there; without an answer in the same time the
	// connection is given up. Whole seconds, at most 65,535 s; negative turns
	// it off. Default 30 s.
	KeepAlive time.Duration

	// Logger receives what happens to the connections. Default slog.Default().
	Logger *slog.Logger

	// MaxPacketSize is the largest packet in bytes that the broker is told to
	// send. Brokers discard larger messages without a word, so the default is
	// MQTT's own limit, 268,435,455.
	MaxPacketSize int

	// ProtocolVersion is the version of MQTT: 5, or 4 for MQTT 3.1.1. 0 means MQTT 5,
	// and 3.1.1 at brokers that refuse MQTT 5, or twice in a row close the connection
	// without an answer. MQTT 3.1.1 cannot be had with Auth. What is weaker with it is
	// in docs/mqtt.md. Default 0.
	ProtocolVersion int

	// Proxy is the URL of a proxy: http://, https:// (CONNECT) or socks5://,
	// with user and password if needed. Default: no proxy.
	Proxy string

	// ReceiveMaximum is the number of QoS 1 and 2 messages that the broker
	// may have under way before one is acknowledged: the window that bounds
	// what the source holds. 1 to 65,535, default 10,000. Brokers may use
	// less (EMQX: mqtt.max_inflight, 32 by default).
	ReceiveMaximum int

	// SessionExpiry is how long the broker keeps the session, and the
	// messages for it, while the source is away. Whole seconds; negative ends
	// the session with each connection, at the price of losing what was under
	// way. Default NeverExpires, or five minutes without a ClientID.
	SessionExpiry time.Duration

	// StartTimeout, when positive, makes Open fail unless every connection
	// is up and subscribed within that time, or brings the messages of a
	// session that it resumes. Zero: Open makes one attempt and leaves
	// trouble that may pass to the reconnecting in the background.
	StartTimeout time.Duration

	// TLS is the base of the configuration for mqtts and wss, for example for
	// NextProtos (ALPN) or ServerName. The files above are added to it.
	TLS *tls.Config

	// Username and Password are sent when Username or Password is set.
	Username string
	Password string

	// UserProperties are sent with every CONNECT.
	UserProperties []bridge.UserProperty

	// WebSocketHeader is sent with the request that opens a WebSocket.
	WebSocketHeader http.Header
	// WebSocketURL, when set, may replace a ws or wss URL before every
	// attempt, to sign it for example (AWS Signature Version 4).
	WebSocketURL func(ctx context.Context, u *url.URL) (*url.URL, error)

	// Will is the message that the broker publishes when the connection is
	// lost; nil means none.
	Will *Will
}

// Subscription is a topic filter with its options (MQTT 5.0, section 3.8.3.1).
type Subscription struct {
	// Filter is a topic filter, or "$share/group/filter".
	Filter string
	// ID is the subscription identifier that the broker adds to the messages,
	// 1 to 268,435,455; 0 means none.
	ID int
	// NoLocal excludes messages published with the same client id.
	NoLocal bool
	// QoS is the highest quality of service of the messages: 0, 1 or 2. With
	// 0 messages are lost whenever the connection is.
	QoS byte
	// RetainAsPublished keeps the retain flag as the publisher set it.
	RetainAsPublished bool
	// RetainHandling says when retained messages are sent. Default RetainIfNew: a
	// source that comes back to its session is not sent them again.
	RetainHandling byte
	// UserProperties are sent with SUBSCRIBE, for brokers that take options of
	// their own, such as where in a stream to begin.
	UserProperties []bridge.UserProperty
}

// Values of Subscription.RetainHandling. On the wire RetainAlways is 0; the zero value
// means RetainIfNew.
const (
	RetainIfNew  = 1 // when the session does not have the subscription yet
	RetainNever  = 2
	RetainAlways = 3 // with every subscribing, which is at every start
)

// equal reports whether two subscriptions are the same.
func (s *Subscription) equal(o *Subscription) bool {
	return s.Filter == o.Filter && s.ID == o.ID && s.NoLocal == o.NoLocal && s.QoS == o.QoS &&
		s.RetainAsPublished == o.RetainAsPublished && s.retainHandling() == o.retainHandling() &&
		slices.Equal(s.UserProperties, o.UserProperties)
}

// retainHandling returns the value for SUBSCRIBE.
func (s *Subscription) retainHandling() byte {
	switch s.RetainHandling {
	case 0:
		return RetainIfNew
	case RetainAlways:
		return 0
	}
	return s.RetainHandling
}

// Will is the message that a broker publishes for a client that is gone.
type Will struct {
	// Delay is how long the broker waits for the client to come back, in
	// whole seconds.
	Delay   time.Duration
	Payload []byte
	QoS     byte
	Retain  bool
	Topic   string
}

const (
	minBackoff            = 500 * time.Millisecond
	maxBackoff            = 30 * time.Second
	defaultBufferBytes    = 64 << 20
	defaultBufferQoS0     = 65536
	defaultConnectTimeout = 10 * time.Second
	defaultKeepAlive      = 30 * time.Second
	defaultReceiveMaximum = 10_000
	anonymousExpiry       = 5 * time.Minute
	maxConnections        = 256
	maxPacketSize         = 268_435_455 // MQTT 5.0, section 2.1.4
)

// withDefaults returns the configuration with the defaults filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.BackoffMin, minBackoff)
	setDefault(&c.BackoffMax, max(maxBackoff, c.BackoffMin))
	setDefault(&c.BufferBytes, defaultBufferBytes)
	setDefault(&c.BufferQoS0, defaultBufferQoS0)
	setDefault(&c.Connections, 1)
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.KeepAlive, defaultKeepAlive)
	setDefault(&c.MaxPacketSize, maxPacketSize)
	setDefault(&c.ReceiveMaximum, defaultReceiveMaximum)
	if c.SessionExpiry == 0 && c.ClientID == "" {
		c.SessionExpiry = anonymousExpiry
	}
	setDefault(&c.SessionExpiry, NeverExpires)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate reports everything that is wrong with the configuration at once.
func (c Config) Validate() error {
	p := problems{}
	c.validateBrokers(&p)
	c.validateFilters(&p)
	p.check(c.ClientID != "" || c.CleanStart,
		"ClientID", "a session needs a name; set CleanStart to do without the messages of the time away")
	p.check(c.Connections >= 0 && c.Connections <= maxConnections, "Connections", "%d is not in 1 to %d", c.Connections, maxConnections)
	p.check(c.ReceiveMaximum >= 0 && c.ReceiveMaximum <= math.MaxUint16, "ReceiveMaximum", "%d is not in 1 to 65535", c.ReceiveMaximum)
	p.check(c.MaxPacketSize == 0 || c.MaxPacketSize >= 64 && c.MaxPacketSize <= maxPacketSize,
		"MaxPacketSize", "%d is not in 64 to %d", c.MaxPacketSize, maxPacketSize)
	p.check(c.BufferBytes >= 0, "BufferBytes", "%d is negative", c.BufferBytes)
	p.check(c.BufferQoS0 >= 0, "BufferQoS0", "%d is negative", c.BufferQoS0)
	p.check(c.BackoffMin >= 0 && (c.BackoffMax == 0 || c.BackoffMax >= c.BackoffMin), "BackoffMax", "%v is less than BackoffMin %v", c.BackoffMax, c.BackoffMin)
	p.check(c.ConnectTimeout >= 0, "ConnectTimeout", "%v is negative", c.ConnectTimeout)
	p.check(c.ProtocolVersion == 0 || c.ProtocolVersion == version3 || c.ProtocolVersion == version5,
		"ProtocolVersion", "%d is not 4 (MQTT 3.1.1), 5 or 0 (5, or else 4)", c.ProtocolVersion)
	p.check(c.ProtocolVersion != version3 || c.Auth == nil, "ProtocolVersion", "MQTT 3.1.1 has no enhanced authentication (Auth)")
	c.ClientIDFrom.validate(&p, "ClientIDFrom")
	c.UsernameFrom.validate(&p, "UsernameFrom")
	p.check(c.StartTimeout >= 0, "StartTimeout", "%v is negative", c.StartTimeout)
	p.check(c.KeepAlive <= 0 || c.KeepAlive >= time.Second && c.KeepAlive <= math.MaxUint16*time.Second,
		"KeepAlive", "%v is not in 1s to 65535s", c.KeepAlive)
	p.check(c.SessionExpiry <= NeverExpires, "SessionExpiry", "%v is more than %v", c.SessionExpiry, NeverExpires)
	p.check(c.SessionExpiry <= 0 || c.SessionExpiry >= time.Second, "SessionExpiry", "%v is less than a second", c.SessionExpiry)
	p.check((c.CertFile == "") == (c.KeyFile == ""), "CertFile", "it and KeyFile are needed together")
	p.check(c.Proxy == "" || c.Dial == nil, "Proxy", "it and Dial exclude each other")
	if c.Proxy != "" {
		_, err := parseProxy(c.Proxy)
		p.check(err == nil, "Proxy", "%v", err)
	}
	p.check(c.Auth == nil || c.Auth.Method != "" && c.Auth.Begin != nil, "Auth", "Method and Begin are needed together")
	if w := c.Will; w != nil {
		err := topic.ValidateName(w.Topic)
		p.check(err == nil, "Will.Topic", "%v", err)
		p.check(w.QoS <= 2, "Will.QoS", "%d is not 0, 1 or 2", w.QoS)
		p.check(w.Delay >= 0, "Will.Delay", "%v is negative", w.Delay)
		p.check(len(w.Payload) <= math.MaxUint16, "Will.Payload", "%d bytes are more than 65535", len(w.Payload))
	}
	return errors.Join(p...)
}

func (c Config) validateBrokers(p *problems) {
	p.check(len(c.Brokers) > 0, "Brokers", "at least one URL is needed, such as mqtt://localhost:1883")
	for i, b := range c.Brokers {
		_, err := parseBroker(b)
		p.check(err == nil, fmt.Sprintf("Brokers[%d]", i), "%v", err)
	}
	for i, h := range c.FollowHosts {
		err := validateHost(h)
		p.check(err == nil, fmt.Sprintf("FollowHosts[%d]", i), "%v", err)
	}
}

func (c Config) validateFilters(p *problems) {
	p.check(len(c.Filters) > 0, "Filters", "at least one topic filter is needed")
	own, shared := 0, false
	seen := map[string]Subscription{}
	for i, s := range c.Filters {
		err := topic.ValidateFilter(s.Filter)
		p.check(err == nil, fmt.Sprintf("Filters[%d]", i), "%v", err)
		before, again := seen[s.Filter]
		p.check(!again || before.equal(&s), fmt.Sprintf("Filters[%d]", i), "%q is there already, with other options", s.Filter)
		seen[s.Filter] = s
		p.check(s.QoS <= 2, fmt.Sprintf("Filters[%d].QoS", i), "%d is not 0, 1 or 2", s.QoS)
		p.check(s.RetainHandling <= RetainAlways, fmt.Sprintf("Filters[%d].RetainHandling", i), "%d is not RetainIfNew (1), RetainNever (2) or RetainAlways (3)", s.RetainHandling)
		p.check(s.ID >= 0 && s.ID <= maxPacketSize, fmt.Sprintf("Filters[%d].ID", i), "%d is not in 1 to 268435455", s.ID)
		if isShared(s.Filter) {
			shared = true
			p.check(!s.NoLocal, fmt.Sprintf("Filters[%d].NoLocal", i), "not allowed with a shared subscription")
		} else {
			own++
		}
	}
	p.check(shared || c.Connections <= max(own, 1),
		"Connections", "%d connections for %d filters leave some without; use shared subscriptions ($share/group/filter) to divide a filter's messages", c.Connections, own)
}

func isShared(filter string) bool { return strings.HasPrefix(filter, "$share/") }

// clientID returns the client id of connection i.
func (c Config) clientID(i int) string {
	if c.ClientID == "" || c.Connections == 1 {
		return c.ClientID
	}
	return fmt.Sprintf("%s-%d", c.ClientID, i+1)
}

// problems collects what a validation finds.
type problems []error

func (p *problems) check(ok bool, field, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf("mqtt: %w", &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)}))
	}
}
