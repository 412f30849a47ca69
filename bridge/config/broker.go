package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/internal/smallfile"
	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/broker/boltstore"
)

// brokerSource is an MQTT broker in the process. The events are those that the
// rules are on.
type brokerSource struct {
	Listeners     []listener   `yaml:"listeners" doc:"Where to accept connections. Default mqtt://127.0.0.1:1883."`
	UsersFile     string       `yaml:"users_file" doc:"Users with hashes of their passwords, as mosquitto_passwd or htpasswd -B writes it. Default: everybody is let in."`
	ACLFile       string       `yaml:"acl_file" doc:"Who may publish and subscribe to what, in Mosquitto's format. Default: everyone may do everything."`
	SessionFile   string       `yaml:"session_file" doc:"File that keeps sessions and retained messages when the bridge restarts. Default: they are gone then."`
	EarlyAck      bool         `yaml:"early_ack" doc:"Acknowledge messages before they are stored: faster for some publishers, and a crash loses messages. Default false."`
	QueueBytes    Size         `yaml:"queue_bytes" doc:"Memory of the messages that wait before clients do. Default 64MB."`
	QueueMessages Count        `yaml:"queue_messages" doc:"Messages that wait in memory before clients do. Default 10000."`
	Limits        brokerLimits `yaml:"limits" doc:"What clients can use."`
}

// listener is a URL alone, or with a certificate.
type listener struct {
	URL string         `yaml:"url" doc:"mqtt, mqtts, ws or wss with host and port, or unix:///path."`
	TLS *serverOptions `yaml:"ssl" field:"TLS" doc:"For mqtts and wss."`
}

// UnmarshalText reads the short form.
func (l *listener) UnmarshalText(text []byte) error {
	l.URL = string(text)
	return nil
}

// serverOptions are the certificates of a server.
type serverOptions struct {
	CertFile   string `yaml:"certfile" doc:"The server's certificate."`
	KeyFile    string `yaml:"keyfile" doc:"The server's key."`
	CACertFile string `yaml:"cacertfile" doc:"Authorities that clients must have a certificate of. Default: clients need none."`
}

type brokerLimits struct {
	ConnectBytes       Size     `yaml:"connect_bytes" doc:"Size of a CONNECT packet with its will. Default 64KB."`
	ConnectTimeout     Duration `yaml:"connect_timeout" doc:"Time to send CONNECT and to authenticate, with all handshakes. Default 10s."`
	Clients            Count    `yaml:"clients" doc:"Connections. Default 100000."`
	ClientsPerHost     Count    `yaml:"clients_per_host" doc:"Connections from one address. Default: no limit."`
	HalfOpen           Count    `yaml:"half_open" doc:"Connections that are not logged in; beyond it the oldest that has not sent CONNECT is closed. Default 1000."`
	MessageRate        float64  `yaml:"message_rate" doc:"Messages per second of a client. Default: no limit."`
	PacketBytes        Size     `yaml:"packet_bytes" doc:"Size of a packet. Default 1MB."`
	PublisherBytes     Size     `yaml:"publisher_bytes" doc:"Memory of a client's messages that are not settled; beyond it the client is not read from. Default 4MB."`
	PublisherMessages  Count    `yaml:"publisher_messages" doc:"A client's messages, of any QoS, that are not settled; beyond it the client is not read from. Default 1024."`
	ReceiveMaximum     Count    `yaml:"receive_maximum" doc:"Unacknowledged messages of a client. Default 1024."`
	RetainedBytes      Size     `yaml:"retained_bytes" doc:"Memory of retained messages; one beyond it is delivered and not retained. Default 256MB."`
	Sessions           Count    `yaml:"sessions" doc:"Sessions, of connected and absent clients; beyond it clients that have none are refused. Default 100000."`
	SessionExpiry      Duration `yaml:"session_expiry" doc:"Longest time that the session of an absent client is kept. Default 24h."`
	SubscriberBytes    Size     `yaml:"subscriber_bytes" doc:"Memory of the messages that wait for a subscriber; those beyond it are dropped. Default 32MB."`
	SubscribersBytes   Size     `yaml:"subscribers_bytes" doc:"Memory of the messages that wait for all subscribers; those beyond it are dropped. Default 64MB."`
	SubscriberQueue    Count    `yaml:"subscriber_queue" doc:"Messages that wait to be written to a subscriber. Default 1000."`
	SubscriberInflight Count    `yaml:"subscriber_inflight" doc:"QoS 1 and 2 messages that wait to be written to a subscriber or for its acknowledgement. Default 8192."`
	Subscriptions      Count    `yaml:"subscriptions" doc:"Filters that a client is subscribed to; those beyond it are refused. Default 1000."`
	SubscriptionsTotal Count    `yaml:"subscriptions_total" doc:"Filters of all sessions. Default 500000."`
	TopicAliases       Count    `yaml:"topic_aliases" doc:"Topic aliases that a client with MQTT 5 may set. Default 32."`
	TopicLevels        Count    `yaml:"topic_levels" doc:"Levels of a topic or filter. Default 128."`
	Unreleased         Count    `yaml:"unreleased" doc:"QoS 2 messages of a client before MQTT 5 that it has not released. Default 8192."`
	UserProperties     Count    `yaml:"user_properties" doc:"User properties of a packet. Default 128."`
	WriteTimeout       Duration `yaml:"write_timeout" doc:"Of a write to a client. Default 30s."`
}

func (b *brokerSource) config(c Context) (broker.Config, error) {
	l := b.Limits
	cfg := broker.Config{
		Events: c.Events, EarlyAck: b.EarlyAck, Logger: c.Logger,
		QueueBytes: int(b.QueueBytes), QueueMessages: int(b.QueueMessages),
		Limits: broker.Limits{
			ConnectBytes: int(l.ConnectBytes), ConnectTimeout: time.Duration(l.ConnectTimeout),
			Clients: int(l.Clients), ClientsPerHost: int(l.ClientsPerHost), HalfOpen: int(l.HalfOpen),
			MessageRate: l.MessageRate, PacketBytes: int(l.PacketBytes),
			PublisherBytes: int(l.PublisherBytes), PublisherMessages: int(l.PublisherMessages),
			ReceiveMaximum: int(l.ReceiveMaximum), RetainedBytes: int(l.RetainedBytes),
			Sessions: int(l.Sessions), SessionExpiry: time.Duration(l.SessionExpiry),
			SubscriberBytes: int(l.SubscriberBytes), SubscribersBytes: int(l.SubscribersBytes),
			SubscriberQueue: int(l.SubscriberQueue), SubscriberInflight: int(l.SubscriberInflight),
			Subscriptions: int(l.Subscriptions), SubscriptionsTotal: int(l.SubscriptionsTotal),
			TopicAliases: int(l.TopicAliases), TopicLevels: int(l.TopicLevels), Unreleased: int(l.Unreleased),
			UserProperties: int(l.UserProperties), WriteTimeout: time.Duration(l.WriteTimeout),
		},
	}
	var errs []error
	if b.UsersFile != "" {
		users, err := load(b.UsersFile, broker.LoadUsers)
		if err != nil {
			errs = append(errs, &bridge.FieldError{Path: "UsersFile", Err: err})
		} else {
			cfg.Authenticate = users.Authenticate
		}
	}
	if b.ACLFile != "" {
		acl, err := load(b.ACLFile, broker.LoadACL)
		if err != nil {
			errs = append(errs, &bridge.FieldError{Path: "ACLFile", Err: err})
		} else {
			cfg.Authorize = acl.Authorize
		}
	}
	for i, l := range b.Listeners {
		certificates, err := l.TLS.config(cmp.Or(c.Logger, slog.Default()))
		if err != nil {
			errs = append(errs, &bridge.FieldError{Path: fmt.Sprintf("Listeners[%d].TLS", i), Err: err})
			continue
		}
		cfg.Listeners = append(cfg.Listeners, broker.Listener{URL: l.URL, TLS: certificates})
	}
	return cfg, errors.Join(errs...)
}

// load reads a file that has a sensible size.
func load[T any](path string, read func(string) (T, error)) (T, error) {
	if _, err := smallfile.Read(path); err != nil {
		var none T
		return none, err
	}
	return read(path)
}

// config returns what follows the files, so that they can be replaced while the
// broker runs.
func (o *serverOptions) config(log *slog.Logger) (*tls.Config, error) {
	switch {
	case o == nil:
		return nil, nil
	case o.CertFile == "" || o.KeyFile == "":
		return nil, errors.New("certfile and keyfile are needed")
	}
	return certs.NewServer(certs.Files{CA: o.CACertFile, Cert: o.CertFile, Key: o.KeyFile}, log)
}

// Validate implements Validator.
func (b *brokerSource) Validate(c Context) error {
	cfg, err := b.config(c)
	if err != nil {
		return err
	}
	return cfg.Validate()
}

// Source implements SourceDefinition.
func (b *brokerSource) Source(c Context) (bridge.Source, error) {
	cfg, err := b.config(c)
	if err != nil {
		return nil, err
	}
	if b.SessionFile == "" {
		return broker.New(cfg)
	}
	store, err := boltstore.Open(b.SessionFile)
	if err != nil {
		return nil, fmt.Errorf("session_file: %w", err)
	}
	cfg.Store = store
	s, err := broker.New(cfg)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}
