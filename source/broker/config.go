package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"time"

	"github.com/sluiceio/sluice/internal/topic"
)

// DefaultListen is where the broker listens when Config.Listeners is empty.
const DefaultListen = "mqtt://127.0.0.1:1883"

// Config configures a Source. The zero value is a broker for the local machine
// that lets everybody in.
type Config struct {
	// Authenticate decides whether a client may connect; nil lets everybody
	// in. It is called concurrently, and ctx ends when the client has waited
	// for Limits.ConnectTimeout. The error is logged and not sent to the
	// client. See Users.
	Authenticate func(ctx context.Context, login Login) error

	// Authorize decides whether a client may publish to a topic or
	// subscribe to a filter; nil allows everything. It is called
	// concurrently for every message and must not block. See ACL.
	Authorize func(client Client, access Access, topic string) bool

	// EarlyAck acknowledges QoS 1 and 2 messages when they are queued rather
	// than when they are settled. Publishers that wait for one
	// acknowledgement before they send the next message get faster, and a
	// crash of the process loses what is queued.
	EarlyAck bool

	// Events are filters for the events that the source hands out, such as
	// "$events/client/#"; none by default. What is not asked for costs
	// nothing.
	Events []string

	// Limits bound what clients can use.
	Limits Limits

	// Listeners are the addresses to accept connections on; default one
	// with the URL DefaultListen.
	Listeners []Listener

	// Logger is where the source logs; default slog.Default(). Neither
	// payloads nor passwords are logged.
	Logger *slog.Logger

	// QueueBytes bounds the payload bytes, and QueueMessages the number, of
	// messages and events that wait for Read. When either is reached clients
	// wait. Defaults 64 MiB and 10,000.
	QueueBytes    int
	QueueMessages int

	// ReadPublished hands messages of Publish out by Read, too, so that rules
	// apply to them.
	ReadPublished bool

	// Store keeps sessions with their subscriptions and messages, and retained
	// messages, across restarts; nil keeps them in memory only. It is closed
	// with the source. See package boltstore.
	Store Store
}

// Listener is an address to accept connections on.
type Listener struct {
	// URL is mqtt://host:port (also tcp), mqtts://host:port (also ssl, tls),
	// ws://host:port/path, wss://host:port/path or unix:///path. Port 0 takes
	// a free one; see Source.Addr.
	URL string
	// TLS is the configuration for mqtts and wss; it must have a
	// certificate. Use GetCertificate for one that changes.
	TLS *tls.Config
}

// Limits bound what clients can use. Zero fields have the defaults given.
type Limits struct {
	// ConnectTimeout is how long a connection may take to send a CONNECT
	// packet and to authenticate. Default 10 s.
	ConnectTimeout time.Duration
	// Clients is the highest number of connections. Beyond it connections
	// are closed at once. Default 100,000.
	Clients int
	// ClientsPerHost is the highest number of connections from one IP
	// address. Default: no limit.
	ClientsPerHost int
	// MessageRate is how many messages a client may publish per second on
	// average, with bursts of one second's worth. A client that sends
	// faster is read more slowly. Default: no limit.
	MessageRate float64
	// PacketBytes is the highest size of a packet. It is announced to
	// clients with MQTT 5, and a client that sends more is disconnected.
	// Default 1 MiB, at most 256 MiB.
	PacketBytes int
	// ReceiveMaximum is how many QoS 1 and 2 messages of a client may be
	// unacknowledged. It is announced to clients with MQTT 5; others are not
	// read from while they have as many. Default 1,024, at most 65,535.
	ReceiveMaximum int
	// RetainedBytes bounds the memory of retained messages. One beyond it is
	// delivered and not retained, nor is the one before it of its topic.
	// Default 256 MiB.
	RetainedBytes int
	// SessionExpiry is the longest time that the session of a client that
	// is not connected is kept. Default 24 hours.
	SessionExpiry time.Duration
	// SubscriberBytes bounds the topics and payloads of the messages that
	// wait for one subscriber, as SubscriberQueue and SubscriberInflight
	// bound their number; a single message may be larger. Default 64 MiB.
	SubscriberBytes int
	// SubscriberQueue is how many QoS 0 messages may wait to be written to a
	// connected subscriber, and SubscriberInflight how many QoS 1 and 2
	// messages may wait to be written or for the subscriber's
	// acknowledgement, while it is connected or not. Beyond that its
	// messages are dropped, as "$events/message/delivery_dropped" tells.
	// Defaults 1,000 and 8,192; at most 65,535.
	SubscriberQueue    int
	SubscriberInflight int
	// TopicAliases is how many topic aliases a client with MQTT 5 may set.
	// Default 32, at most 65,535.
	TopicAliases int
	// WriteTimeout is how long a write to a client may take before it is
	// disconnected. Default 30 s.
	WriteTimeout time.Duration
}

const maxPacketBytes = 256 << 20 // MQTT 5.0, section 2.1.4

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	for i, filter := range c.Events {
		if err := topic.ValidateFilter(filter); err != nil {
			bad(fmt.Sprintf("Events[%d]", i), "%v", err)
		} else if kindsMatching(filter) == 0 {
			bad(fmt.Sprintf("Events[%d]", i), "no event has a topic that %q matches", filter)
		}
	}
	for i, l := range c.Listeners {
		if _, err := l.parse(); err != nil {
			bad(fmt.Sprintf("Listeners[%d]", i), "%v", err)
		}
	}
	notBetween := func(field string, v, low, high int) {
		if v < low || v > high {
			bad(field, "%d is not between %d and %d", v, low, high)
		}
	}
	l := c.Limits
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ConnectTimeout", l.ConnectTimeout}, {"SessionExpiry", l.SessionExpiry}, {"WriteTimeout", l.WriteTimeout}} {
		if d.value < 0 {
			bad("Limits."+d.name, "%v is negative", d.value)
		}
	}
	notBetween("Limits.Clients", l.Clients, 0, math.MaxInt32)
	notBetween("Limits.ClientsPerHost", l.ClientsPerHost, 0, math.MaxInt32)
	notBetween("Limits.PacketBytes", l.PacketBytes, 0, maxPacketBytes)
	notBetween("Limits.ReceiveMaximum", l.ReceiveMaximum, 0, math.MaxUint16)
	notBetween("Limits.RetainedBytes", l.RetainedBytes, 0, math.MaxInt)
	notBetween("Limits.SubscriberBytes", l.SubscriberBytes, 0, math.MaxInt)
	notBetween("Limits.SubscriberQueue", l.SubscriberQueue, 0, math.MaxUint16)
	notBetween("Limits.SubscriberInflight", l.SubscriberInflight, 0, math.MaxUint16)
	notBetween("Limits.TopicAliases", l.TopicAliases, 0, math.MaxUint16)
	if !(l.MessageRate >= 0) || math.IsInf(l.MessageRate, 1) {
		bad("Limits.MessageRate", "%v is not a rate", l.MessageRate)
	}
	notBetween("QueueBytes", c.QueueBytes, 0, math.MaxInt)
	notBetween("QueueMessages", c.QueueMessages, 0, math.MaxInt32)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// withDefaults returns c with every zero field set to its default.
func (c Config) withDefaults() Config {
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{{URL: DefaultListen}}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	setDefault(&c.QueueBytes, 64<<20)
	setDefault(&c.QueueMessages, 10_000)
	l := &c.Limits
	setDefault(&l.ConnectTimeout, 10*time.Second)
	setDefault(&l.Clients, 100_000)
	setDefault(&l.ClientsPerHost, math.MaxInt)
	setDefault(&l.PacketBytes, 1<<20)
	setDefault(&l.ReceiveMaximum, 1024)
	setDefault(&l.SessionExpiry, 24*time.Hour)
	setDefault(&l.RetainedBytes, 256<<20)
	setDefault(&l.SubscriberBytes, 64<<20)
	setDefault(&l.SubscriberQueue, 1000)
	setDefault(&l.SubscriberInflight, 8192)
	setDefault(&l.TopicAliases, 32)
	setDefault(&l.WriteTimeout, 30*time.Second)
	return c
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// endpoint is a Listener's URL taken apart.
type endpoint struct {
	scheme  string // mqtt, mqtts, ws, wss or unix
	address string // host:port, or the path of a Unix socket
	path    string // of a WebSocket
}

func (l Listener) parse() (endpoint, error) {
	u, err := url.Parse(l.URL)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{scheme: u.Scheme, address: u.Host, path: u.Path}
	switch u.Scheme {
	case "tcp":
		e.scheme = "mqtt"
	case "ssl", "tls":
		e.scheme = "mqtts"
	case "mqtt", "mqtts", "ws", "wss":
	case "unix":
		if u.Path == "" || u.Host != "" {
			return e, fmt.Errorf("URL %q: a Unix socket is written unix:///path", l.URL)
		}
		e.address = u.Path
	default:
		return e, fmt.Errorf("URL %q: the scheme must be mqtt, mqtts, ws, wss or unix", l.URL)
	}
	if e.scheme != "unix" {
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return e, fmt.Errorf("URL %q: host and port are needed: %w", l.URL, err)
		}
	}
	if u.User != nil {
		return e, errors.New("URL: a listener has no user; see Authenticate")
	}
	secure := e.scheme == "mqtts" || e.scheme == "wss"
	switch hasCert := l.TLS != nil && (len(l.TLS.Certificates) > 0 || l.TLS.GetCertificate != nil || l.TLS.GetConfigForClient != nil); {
	case secure && !hasCert:
		return e, fmt.Errorf("URL %q: TLS needs a certificate", l.URL)
	case !secure && l.TLS != nil:
		return e, fmt.Errorf("URL %q: TLS is set, but the scheme does not use it", l.URL)
	}
	return e, nil
}
