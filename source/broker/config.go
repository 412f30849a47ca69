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

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/redact"
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

	// Authorize decides whether a client may publish to a topic, subscribe
	// to a filter or receive a message with a topic; nil allows everything.
	// It is called concurrently for every message and must not block. That a
	// client could subscribe does not let it receive what it may no longer
	// read: it is asked for each delivery. See ACL.
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

	// QueueBytes bounds the memory, and QueueMessages the number, of messages
	// and events that wait for Read. When either is reached clients wait,
	// those that have nothing in the queue excepted: each may have one message
	// there. Defaults 64 MiB and 10,000.
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

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
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
	if err := c.Limits.validate(); err != nil {
		errs = append(errs, err)
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
	c.Limits.setDefaults()
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
		return endpoint{}, errors.New("URL: not a URL") // the reason repeats a part of it
	}
	l.URL = redact.Parsed(u)
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
