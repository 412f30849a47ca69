package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/mqtt"
)

// mqttSource is a client of an MQTT broker.
type mqttSource struct {
	Servers        Texts          `yaml:"servers" field:"Brokers" doc:"URLs of the broker or of the nodes of its cluster: mqtt, mqtts, ws, wss or unix."`
	ClientID       string         `yaml:"client_id" doc:"Name of the session at the broker; unique among running bridges."`
	Username       string         `yaml:"username" doc:"User name at the broker."`
	Password       string         `yaml:"password" doc:"Password at the broker; better given as ${env:NAME} or ${file:PATH}."`
	Filters        []subscription `yaml:"filters" doc:"What to subscribe to. Default: the topics of the rules, with QoS 1."`
	CleanStart     bool           `yaml:"clean_start" doc:"Discard what the broker kept for an earlier run. Default false."`
	SessionExpiry  *sessionExpiry `yaml:"session_expiry" doc:"How long the broker keeps messages while the bridge is away; 0 loses them with each connection. Default infinity."`
	ReceiveMaximum Count          `yaml:"receive_maximum" doc:"Messages that may be under way before one is acknowledged, up to 65535. Default 10000."`
	KeepAlive      *Duration      `yaml:"keepalive" doc:"Longest silence before the broker is asked whether it is there; 0 for never. Default 30s."`
	Connections    Count          `yaml:"connections" doc:"Connections to the broker, for shared subscriptions. Default 1."`
	ConnectTimeout Duration       `yaml:"connect_timeout" doc:"Of one attempt to connect. Default 10s."`
	StartTimeout   Duration       `yaml:"start_timeout" doc:"Fail at start when not connected by then. Default: keep trying."`
	MaxPacketSize  Size           `yaml:"max_packet_size" doc:"Largest packet that the broker may send. Default 256MB, MQTT's own limit."`
	BufferBytes    Size           `yaml:"buffer_bytes" doc:"Payloads that wait in memory before the socket is read no further. Default 64MB."`
	Proxy          string         `yaml:"proxy" doc:"URL of a proxy: http, https or socks5."`
	TLS            tlsOptions     `yaml:"ssl" field:"TLS" doc:"For mqtts and wss."`
}

// tlsOptions are those of a client.
type tlsOptions struct {
	CACertFile string   `yaml:"cacertfile" field:"/CAFile" doc:"Authorities that sign the broker's certificate. Default: the system's."`
	CertFile   string   `yaml:"certfile" field:"/CertFile" doc:"The client's certificate."`
	KeyFile    string   `yaml:"keyfile" field:"/KeyFile" doc:"The client's key."`
	ServerName string   `yaml:"server_name_indication" doc:"Name in the broker's certificate. Default: the host of the URL."`
	ALPN       []string `yaml:"alpn" doc:"Application protocols, such as x-amzn-mqtt-ca."`
}

// subscription is a topic filter alone, or with its options.
type subscription struct {
	Topic             string `yaml:"topic" field:"Filter" doc:"Topic filter, or $share/group/filter."`
	QoS               *qos   `yaml:"qos" field:"QoS" doc:"Highest quality of service: 0, 1 or 2. Default 1."`
	NoLocal           bool   `yaml:"no_local" doc:"Without messages published by the same client. Default false."`
	RetainAsPublished bool   `yaml:"retain_as_published" doc:"Keep the retain flag as it was published. Default false."`
	RetainHandling    Count  `yaml:"retain_handling" doc:"Retained messages: 0 with every subscribing, 1 only if it is new, 2 never. Default 0."`
}

// UnmarshalText reads the short form.
func (s *subscription) UnmarshalText(text []byte) error {
	s.Topic = string(text)
	return nil
}

type qos byte

// UnmarshalText reads 0, 1 or 2.
func (q *qos) UnmarshalText(text []byte) error {
	return choice(q, text, map[string]qos{"0": 0, "1": 1, "2": 2})
}

// sessionExpiry is a Duration, or "infinity".
type sessionExpiry Duration

// UnmarshalText reads an expiry.
func (s *sessionExpiry) UnmarshalText(text []byte) error {
	if string(text) == "infinity" {
		*s = sessionExpiry(mqtt.NeverExpires)
		return nil
	}
	return (*Duration)(s).UnmarshalText(text)
}

func (m *mqttSource) config(c Context) mqtt.Config {
	cfg := mqtt.Config{
		Brokers: m.Servers, ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		CleanStart: m.CleanStart, SessionExpiry: orNegative((*Duration)(m.SessionExpiry)),
		ReceiveMaximum: int(m.ReceiveMaximum), KeepAlive: orNegative(m.KeepAlive), Connections: int(m.Connections),
		ConnectTimeout: time.Duration(m.ConnectTimeout), StartTimeout: time.Duration(m.StartTimeout),
		MaxPacketSize: int(m.MaxPacketSize), BufferBytes: int(m.BufferBytes), Proxy: m.Proxy,
		CAFile: m.TLS.CACertFile, CertFile: m.TLS.CertFile, KeyFile: m.TLS.KeyFile, Logger: c.Logger,
	}
	if m.TLS.ServerName != "" || len(m.TLS.ALPN) > 0 {
		cfg.TLS = &tls.Config{ServerName: m.TLS.ServerName, NextProtos: m.TLS.ALPN, MinVersion: tls.VersionTLS12}
	}
	for _, f := range m.Filters {
		level := qos(1)
		if f.QoS != nil {
			level = *f.QoS
		}
		cfg.Filters = append(cfg.Filters, mqtt.Subscription{
			Filter: f.Topic, QoS: byte(level), NoLocal: f.NoLocal,
			RetainAsPublished: f.RetainAsPublished, RetainHandling: byte(min(f.RetainHandling, 255)),
		})
	}
	if len(m.Filters) == 0 {
		for _, f := range c.Filters {
			cfg.Filters = append(cfg.Filters, mqtt.Subscription{Filter: f, QoS: 1})
		}
	}
	return cfg
}

// Validate implements Validator.
func (m *mqttSource) Validate(c Context) error {
	return errors.Join(m.config(c).Validate(), readable("CAFile", m.TLS.CACertFile),
		readable("CertFile", m.TLS.CertFile), readable("KeyFile", m.TLS.KeyFile))
}

// Source implements SourceDefinition.
func (m *mqttSource) Source(c Context) (bridge.Source, error) { return mqtt.New(m.config(c)) }

// followsRules tells whether the subscriptions are those of the rules.
func (m *mqttSource) followsRules() bool { return len(m.Filters) == 0 }

// readable tells whether a file can be read, for options that name one.
func readable(field, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return f.Close()
}
