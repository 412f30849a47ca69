package replay

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/sluiceio/sluice/bridge"
)

// line is a message in a recording.
type line struct {
	At            *time.Time      `json:"at,omitempty"`
	Event         string          `json:"event,omitempty"`
	Topic         string          `json:"topic,omitempty"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 *string         `json:"payload_base64,omitempty"`
	ClientID      string          `json:"clientid,omitempty"`
	Username      string          `json:"username,omitempty"`
	PeerHost      string          `json:"peerhost,omitempty"`
	PeerName      string          `json:"peername,omitempty"`
	QoS           byte            `json:"qos,omitempty"`
	Retain        bool            `json:"retain,omitempty"`
	Dup           bool            `json:"dup,omitempty"`
	Props         *props          `json:"props,omitempty"`
	Columns       map[string]any  `json:"columns,omitempty"`
}

// props are MQTT 5 properties. Binary ones are in base64.
type props struct {
	PayloadFormat   *byte       `json:"payload_format,omitempty"`
	MessageExpiry   *uint32     `json:"message_expiry,omitempty"`
	ContentType     string      `json:"content_type,omitempty"`
	ResponseTopic   string      `json:"response_topic,omitempty"`
	CorrelationData []byte      `json:"correlation_data,omitempty"`
	SubscriptionIDs []int       `json:"subscription_ids,omitempty"`
	User            [][2]string `json:"user,omitempty"`
}

func newProps(p *bridge.Properties) *props {
	if p == nil {
		return nil
	}
	to := &props{
		PayloadFormat: p.PayloadFormat, MessageExpiry: p.MessageExpiry, ContentType: p.ContentType,
		ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, SubscriptionIDs: p.SubscriptionIDs,
	}
	for _, u := range p.User {
		to.User = append(to.User, [2]string{u.Key, u.Value})
	}
	return to
}

func (p *props) properties() *bridge.Properties {
	if p == nil {
		return nil
	}
	to := &bridge.Properties{
		PayloadFormat: p.PayloadFormat, MessageExpiry: p.MessageExpiry, ContentType: p.ContentType,
		ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, SubscriptionIDs: p.SubscriptionIDs,
	}
	for _, u := range p.User {
		to.User = append(to.User, bridge.UserProperty{Key: u[0], Value: u[1]})
	}
	return to
}

// Append appends m to dst as a line of a recording, with the time it was
// received. The delivery is not recorded. The error is about columns that JSON
// cannot hold.
func Append(dst []byte, m *bridge.Message) ([]byte, error) {
	l := line{
		Event: m.Event, Topic: m.Topic, ClientID: m.ClientID, Username: m.Username,
		PeerHost: m.PeerHost, PeerName: m.PeerName, QoS: m.QoS, Retain: m.Retain, Dup: m.Dup,
		Columns: m.Columns, Props: newProps(m.Props),
	}
	if !m.Received.IsZero() {
		l.At = &m.Received
	}
	var err error
	if utf8.Valid(m.Payload) {
		l.Payload, err = json.Marshal(string(m.Payload))
	} else {
		s := base64.StdEncoding.EncodeToString(m.Payload)
		l.PayloadBase64 = &s
	}
	text, lineErr := json.Marshal(l)
	if err = errors.Join(err, lineErr); err != nil {
		return dst, err
	}
	return append(append(dst, text...), '\n'), nil
}

// parse reads a line. The time is zero when the line has none.
func parse(text []byte) (m bridge.Message, at time.Time, err error) {
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return m, at, err
	}
	if dec.More() {
		return m, at, errors.New("more than one JSON value in the line")
	}
	m = bridge.Message{
		Event: l.Event, Topic: l.Topic, ClientID: l.ClientID, Username: l.Username,
		PeerHost: l.PeerHost, PeerName: l.PeerName, QoS: l.QoS, Retain: l.Retain, Dup: l.Dup,
		Columns: l.Columns, Props: l.Props.properties(),
	}
	if l.At != nil {
		at = *l.At
	}
	switch {
	case l.Topic == "" && l.Event == "":
		return m, at, errors.New("neither topic nor event")
	case l.QoS > 2:
		return m, at, errors.New("qos is not 0, 1 or 2")
	case l.PayloadBase64 != nil && l.Payload != nil:
		return m, at, errors.New("both payload and payload_base64")
	case l.PayloadBase64 != nil:
		m.Payload, err = base64.StdEncoding.DecodeString(*l.PayloadBase64)
	case len(l.Payload) > 0 && l.Payload[0] == '"':
		var s string
		err = json.Unmarshal(l.Payload, &s)
		m.Payload = []byte(s)
	default:
		m.Payload = l.Payload
	}
	return m, at, err
}
