package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/broker/boltstore"
)

// brokerSource is an MQTT broker in the process. The events are those that the
// rules are on.
type brokerSource struct {
	Listeners     []listener   `yaml:"listeners" doc:"Where to accept connections. Default mqtt://127.0.0.1:1883."`
	UsersFile     string       `yaml:"users_file" doc:"Users with hashes of their passwords, as mosquitto_passwd or htpasswd -B writes it. Default: everybody is let in."`
	ACLFile       string       `yaml:"acl_file" doc:"Who may publish and subscribe to what, in Mosquitto's format. Default: everybody everything."`
	SessionFile   string       `yaml:"session_file" doc:"File that keeps sessions and retained messages when the bridge restarts. Default: they are gone then."`
	EarlyAck      bool         `yaml:"early_ack" doc:"Acknowledge messages before they are stored: faster for some publishers, and a crash loses messages. Default false."`
	QueueBytes    Size         `yaml:"queue_bytes" doc:"Payloads that wait in memory before clients do. Default 64MB."`
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
	ConnectTimeout     Duration `yaml:"connect_timeout" doc:"Time to send CONNECT and to authenticate. Default 10s."`
	Clients            Count    `yaml:"clients" doc:"Connections. Default 100000."`
	ClientsPerHost     Count    `yaml:"clients_per_host" doc:"Connections from one address. Default: no limit."`
	MessageRate        float64  `yaml:"message_rate" doc:"Messages per second of a client. Default: no limit."`
	PacketBytes        Size     `yaml:"packet_bytes" doc:"Size of a packet. Default 1MB."`
	ReceiveMaximum     Count    `yaml:"receive_maximum" doc:"Unacknowledged messages of a client. Default 1024."`
	RetainedBytes      Size     `yaml:"retained_bytes" doc:"Memory of retained messages; one beyond it is delivered and not retained. Default 256MB."`
	SessionExpiry      Duration `yaml:"session_expiry" doc:"Longest time that the session of an absent client is kept. Default 24h."`
	SubscriberBytes    Size     `yaml:"subscriber_bytes" doc:"Topics and payloads of the messages that wait for a subscriber; those beyond it are dropped. Default 64MB."`
	SubscriberQueue    Count    `yaml:"subscriber_queue" doc:"Messages that wait to be written to a subscriber. Default 1000."`
	SubscriberInflight Count    `yaml:"subscriber_inflight" doc:"QoS 1 and 2 messages that wait to be written to a subscriber or for its acknowledgement. Default 8192."`
	TopicAliases       Count    `yaml:"topic_aliases" doc:"Topic aliases that a client with MQTT 5 may set. Default 32."`
	WriteTimeout       Duration `yaml:"write_timeout" doc:"Of a write to a client. Default 30s."`
}

func (b *brokerSource) config(c Context) (broker.Config, error) {
	l := b.Limits
	cfg := broker.Config{
		Events: c.Events, EarlyAck: b.EarlyAck, Logger: c.Logger,
		QueueBytes: int(b.QueueBytes), QueueMessages: int(b.QueueMessages),
		Limits: broker.Limits{
			ConnectTimeout: time.Duration(l.ConnectTimeout), Clients: int(l.Clients), ClientsPerHost: int(l.ClientsPerHost),
			MessageRate: l.MessageRate, PacketBytes: int(l.PacketBytes), ReceiveMaximum: int(l.ReceiveMaximum),
			SessionExpiry: time.Duration(l.SessionExpiry), SubscriberQueue: int(l.SubscriberQueue),
			RetainedBytes: int(l.RetainedBytes), SubscriberBytes: int(l.SubscriberBytes),
			SubscriberInflight: int(l.SubscriberInflight), TopicAliases: int(l.TopicAliases), WriteTimeout: time.Duration(l.WriteTimeout),
		},
	}
	var errs []error
	if b.UsersFile != "" {
		users, err := broker.LoadUsers(b.UsersFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("UsersFile: %w", err))
		} else {
			cfg.Authenticate = users.Authenticate
		}
	}
	if b.ACLFile != "" {
		acl, err := broker.LoadACL(b.ACLFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("ACLFile: %w", err))
		} else {
			cfg.Authorize = acl.Authorize
		}
	}
	for i, l := range b.Listeners {
		certificates, err := l.TLS.config()
		if err != nil {
			errs = append(errs, fmt.Errorf("Listeners[%d].TLS: %w", i, err))
			continue
		}
		cfg.Listeners = append(cfg.Listeners, broker.Listener{URL: l.URL, TLS: certificates})
	}
	return cfg, errors.Join(errs...)
}

// config reads the certificate at every handshake, so that it can be replaced
// while the broker runs.
func (o *serverOptions) config() (*tls.Config, error) {
	if o == nil {
		return nil, nil
	}
	read := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		return &pair, err
	}
	if _, err := read(); err != nil {
		return nil, err
	}
	cfg := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return read() },
	}
	if o.CACertFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(o.CACertFile)
	if err != nil {
		return nil, err
	}
	cfg.ClientCAs = x509.NewCertPool()
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CACertFile)
	}
	return cfg, nil
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
