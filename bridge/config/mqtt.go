package config

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/smallfile"
	"github.com/sluiceio/sluice/source/mqtt"
)

// mqttSource is a client of an MQTT broker.
type mqttSource struct {
	Servers        Texts          `yaml:"servers" field:"Brokers" doc:"URLs of the broker or of the nodes of its cluster: mqtt, mqtts, ws, wss or unix."`
	ProtoVer       protoVer       `yaml:"proto_ver" field:"ProtocolVersion" doc:"Version of MQTT: v5, v4 (3.1.1), or auto for v5 and, at brokers that refuse it, v4. Default auto."`
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
	BackoffMin     Duration       `yaml:"backoff_min" doc:"Shortest wait between two attempts to connect; it doubles. Default 500ms."`
	BackoffMax     Duration       `yaml:"backoff_max" doc:"Longest wait between two attempts to connect. Default 30s."`
	BufferQoS0     Count          `yaml:"buffer_qos0" doc:"Messages with QoS 0 that wait in memory; what comes beyond is dropped and counted. Default 65536."`
	BufferBytes    Size           `yaml:"buffer_bytes" doc:"Memory of the messages that were received and are not finished with: payloads, topics and properties, of QoS 1 and 2 until they are acknowledged. When it is reached, the socket is read no further. Default 64MB."`
	FollowHosts    Texts          `yaml:"follow_hosts" doc:"Hosts to go to, with the credentials, when the broker names them in its place: node2.example.com, *.example.com. Default: none."`
	Proxy          string         `yaml:"proxy" doc:"URL of a proxy: http, https or socks5."`
	TLS            tlsOptions     `yaml:"ssl" field:"TLS" doc:"For mqtts and wss."`

	ClientIDFrom     *origin           `yaml:"clientid_from" field:"ClientIDFrom" doc:"Where in a message the client id of its publisher is, which the broker does not tell. Default: nowhere, so that the column clientid is undefined."`
	UsernameFrom     *origin           `yaml:"username_from" doc:"The same for the user name of the publisher and the column username."`
	WebSocketHeaders map[string]string `yaml:"websocket_headers" doc:"Sent with the request that opens a WebSocket."`
	UserProperties   map[string]string `yaml:"user_properties" doc:"User properties of the connection, which the broker sees."`
	Will             *will             `yaml:"will" doc:"The message that the broker publishes when the connection is lost. Default: none."`
	Auth             *auth             `yaml:"auth" doc:"Enhanced authentication with what is known beforehand, such as a token. Default: none."`
}

// will is the message for the time after a connection.
type will struct {
	Topic   string   `yaml:"topic" doc:"Where it is published."`
	Payload string   `yaml:"payload" doc:"Default: nothing."`
	QoS     qos      `yaml:"qos" field:"QoS" doc:"0, 1 or 2. Default 0."`
	Retain  bool     `yaml:"retain" doc:"Default false."`
	Delay   Duration `yaml:"delay" doc:"How long the broker waits for the bridge to come back, in whole seconds. Default 0."`
}

// auth is enhanced authentication of one step.
type auth struct {
	Method string `yaml:"method" doc:"The method that the broker knows, such as OAUTH2."`
	Data   string `yaml:"data" doc:"What it gets with the method; better given as ${env:NAME} or ${file:PATH}."`
}

// tlsOptions are those of a client.
type tlsOptions struct {
	CACertFile string   `yaml:"cacertfile" field:"/CAFile" doc:"Authorities that sign the server's certificate. Default: the system's."`
	CertFile   string   `yaml:"certfile" field:"/CertFile" doc:"The client's certificate."`
	KeyFile    string   `yaml:"keyfile" field:"/KeyFile" doc:"The client's key."`
	ServerName string   `yaml:"server_name_indication" doc:"Name in the server's certificate. Default: the host of the URL."`
	ALPN       []string `yaml:"alpn" doc:"Application protocols, such as x-amzn-mqtt-ca."`
}

// subscription is a topic filter alone, or with its options.
type subscription struct {
	Topic             string  `yaml:"topic" field:"Filter" doc:"Topic filter, or $share/group/filter."`
	ID                Count   `yaml:"id" field:"ID" doc:"Subscription identifier that the broker adds to the messages. Default: none."`
	QoS               *qos    `yaml:"qos" field:"QoS" doc:"Highest quality of service: 0, 1 or 2. Default 1."`
	NoLocal           bool    `yaml:"no_local" doc:"Without messages published by the same client. Default false."`
	RetainAsPublished bool    `yaml:"retain_as_published" doc:"Keep the retain flag as it was published. Default false."`
	RetainHandling    *retain `yaml:"retain_handling" doc:"Retained messages: 0 with every subscribing, which is at every start, 1 only if it is new, 2 never. Default 1."`

	UserProperties map[string]string `yaml:"user_properties" doc:"User properties of SUBSCRIBE, for brokers that take options of their own, such as where in a stream to begin."`
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

// retain is mqtt.Subscription.RetainHandling as on the wire.
type retain byte

// UnmarshalText reads 0, 1 or 2.
func (r *retain) UnmarshalText(text []byte) error {
	return choice(r, text, map[string]retain{"0": mqtt.RetainAlways, "1": mqtt.RetainIfNew, "2": mqtt.RetainNever})
}

// protoVer is mqtt.Config.ProtocolVersion by name.
type protoVer int

var protoVers = map[string]protoVer{"auto": 0, "v4": 4, "v5": 5}

// UnmarshalText reads a name.
func (v *protoVer) UnmarshalText(text []byte) error { return choice(v, text, protoVers) }

// origin is mqtt.Origin.
type origin struct {
	UserProperty string `yaml:"user_property" doc:"Key of a user property (MQTT 5)."`
	TopicLevel   Count  `yaml:"topic_level" doc:"Number of a level of the topic, from 1: 2 is d7 in devices/d7/temp."`
}

// given reports whether it says anything.
func (o *origin) given() bool { return o != nil && *o != (origin{}) }

func (o *origin) origin() mqtt.Origin {
	if o == nil {
		return mqtt.Origin{}
	}
	return mqtt.Origin{UserProperty: o.UserProperty, TopicLevel: int(o.TopicLevel)}
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
		Brokers: m.Servers, ProtocolVersion: int(m.ProtoVer), ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		CleanStart: m.CleanStart, SessionExpiry: orNegative((*Duration)(m.SessionExpiry)),
		ReceiveMaximum: int(m.ReceiveMaximum), KeepAlive: orNegative(m.KeepAlive), Connections: int(m.Connections),
		ConnectTimeout: time.Duration(m.ConnectTimeout), StartTimeout: time.Duration(m.StartTimeout),
		MaxPacketSize: int(m.MaxPacketSize), BackoffMin: time.Duration(m.BackoffMin), BackoffMax: time.Duration(m.BackoffMax),
		BufferQoS0: int(m.BufferQoS0), BufferBytes: int(m.BufferBytes), Proxy: m.Proxy, FollowHosts: m.FollowHosts,
		CAFile: m.TLS.CACertFile, CertFile: m.TLS.CertFile, KeyFile: m.TLS.KeyFile, Logger: c.Logger,
	}
	if m.TLS.ServerName != "" || len(m.TLS.ALPN) > 0 {
		cfg.TLS = &tls.Config{ServerName: m.TLS.ServerName, NextProtos: m.TLS.ALPN, MinVersion: tls.VersionTLS12}
	}
	m.setExtras(&cfg)
	for _, f := range m.Filters {
		level := qos(1)
		if f.QoS != nil {
			level = *f.QoS
		}
		s := mqtt.Subscription{
			Filter: f.Topic, ID: int(f.ID), QoS: byte(level), NoLocal: f.NoLocal,
			RetainAsPublished: f.RetainAsPublished, UserProperties: userProperties(f.UserProperties),
		}
		if f.RetainHandling != nil {
			s.RetainHandling = byte(*f.RetainHandling)
		}
		cfg.Filters = append(cfg.Filters, s)
	}
	if len(m.Filters) == 0 {
		for _, f := range c.Filters {
			cfg.Filters = append(cfg.Filters, mqtt.Subscription{Filter: f, QoS: 1})
		}
	}
	return cfg
}

// setExtras sets what few connections have.
func (m *mqttSource) setExtras(cfg *mqtt.Config) {
	cfg.UserProperties = userProperties(m.UserProperties)
	cfg.ClientIDFrom, cfg.UsernameFrom = m.ClientIDFrom.origin(), m.UsernameFrom.origin()
	if len(m.WebSocketHeaders) > 0 {
		cfg.WebSocketHeader = http.Header{}
		for name, value := range m.WebSocketHeaders {
			cfg.WebSocketHeader.Set(name, value)
		}
	}
	if w := m.Will; w != nil {
		cfg.Will = &mqtt.Will{Topic: w.Topic, Payload: []byte(w.Payload), QoS: byte(w.QoS), Retain: w.Retain, Delay: time.Duration(w.Delay)}
	}
	if a := m.Auth; a != nil {
		cfg.Auth = &mqtt.Auth{Method: a.Method, Begin: func(context.Context) (mqtt.Exchange, error) { return mqtt.Token(a.Data), nil }}
	}
}

// userProperties returns user properties in the order of their names.
func userProperties(of map[string]string) (list []bridge.UserProperty) {
	for _, name := range sortedKeys(of) {
		list = append(list, bridge.UserProperty{Key: name, Value: of[name]})
	}
	return list
}

// Validate implements Validator.
func (m *mqttSource) Validate(c Context) error {
	return errors.Join(m.config(c).Validate(), readable("CAFile", m.TLS.CACertFile),
		readable("CertFile", m.TLS.CertFile), readable("KeyFile", m.TLS.KeyFile))
}

// Source implements SourceDefinition.
func (m *mqttSource) Source(c Context) (bridge.Source, error) { return mqtt.New(m.config(c)) }

// ask asks the broker as the source would, and takes nothing from one that runs.
func (m *mqttSource) ask(ctx context.Context, c Context) error { return mqtt.Ask(ctx, m.config(c)) }

// followsRules reports whether the subscriptions are those of the rules.
func (m *mqttSource) followsRules() bool { return len(m.Filters) == 0 }

// readable reports whether a file can be read, for options that name one.
func readable(field, path string) error {
	if path == "" {
		return nil
	}
	if _, err := smallfile.Read(path); err != nil {
		return &bridge.FieldError{Path: field, Err: err}
	}
	return nil
}
