package republish

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// UserPrefix begins the names of attributes that become user properties.
const UserPrefix = "user:"

// message makes the message that a record stands for.
func message(r *bridge.Record) (*Message, error) {
	if err := topic.ValidateName(r.Dest); err != nil {
		return nil, fmt.Errorf("topic %q: %w", r.Dest, err)
	}
	m := &Message{Topic: r.Dest, Payload: r.Data, QoS: 1}
	var p bridge.Properties
	has := false
	for _, a := range r.Attrs {
		switch value := string(a.Value); a.Name {
		case "qos":
			if q, err := strconv.ParseUint(value, 10, 8); err == nil && q <= 2 {
				m.QoS = byte(q)
			}
		case "retain":
			m.Retain = value == "true" || value == "1"
		default:
			has = property(&p, a.Name, value) || has
		}
	}
	if has {
		m.Props = &p
	}
	return m, nil
}

// property sets a property and reports whether it did.
func property(p *bridge.Properties, name, value string) bool {
	if key, ok := strings.CutPrefix(name, UserPrefix); ok {
		p.User = append(p.User, bridge.UserProperty{Key: key, Value: value})
		return true
	}
	switch name {
	case "content_type":
		p.ContentType = value
	case "response_topic":
		if topic.ValidateName(value) != nil {
			return false
		}
		p.ResponseTopic = value
	case "correlation_data":
		p.CorrelationData = []byte(value)
	case "message_expiry":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return false
		}
		seconds := uint32(n)
		p.MessageExpiry = &seconds
	case "payload_format":
		if value != "0" && value != "1" {
			return false
		}
		format := value[0] - '0'
		p.PayloadFormat = &format
	default:
		return false
	}
	return true
}
