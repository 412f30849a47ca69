package rule

import (
	"sort"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/value"
)

// column is a column of an event. Those that a bridge.Message has fields for are
// known by number; the others are found by name in Message.Columns.
type column struct {
	name string
	id   columnID
}

type columnID uint8

const (
	colOther columnID = iota
	colClientID
	colDup
	colEvent
	colFlags
	colID
	colMessageReceivedAt
	colMetadata
	colNode
	colPayload
	colPeerHost
	colPeerName
	colPubProps
	colReceivedAt
	colQoS
	colRetain
	colServer
	colTimestamp
	colTopic
	colUsername
)

// messageFields are the columns with a number, sorted by name.
var messageFields = [...]column{
	{"clientid", colClientID},
	{"dup", colDup},
	{"event", colEvent},
	{"flags", colFlags},
	{"id", colID},
	{"message_received_at", colMessageReceivedAt},
	{"metadata", colMetadata},
	{"node", colNode},
	{"payload", colPayload},
	{"peerhost", colPeerHost},
	{"peername", colPeerName},
	{"pub_props", colPubProps},
	{"publish_received_at", colReceivedAt},
	{"qos", colQoS},
	{"retain", colRetain},
	{"server", colServer},
	{"timestamp", colTimestamp},
	{"topic", colTopic},
	{"username", colUsername},
}

// columnOf returns the column with this name.
func columnOf(name string) column {
	i := sort.Search(len(messageFields), func(i int) bool { return messageFields[i].name >= name })
	if i < len(messageFields) && messageFields[i].name == name {
		return messageFields[i]
	}
	return column{name: name}
}

// column returns the value of a column of the message at hand, undefined when it
// has no such column.
func (r *run) column(c column) value.Value {
	v, _ := r.lookup(c)
	return v
}

// lookup is column, and reports whether the message has the column: it may be
// there and undefined.
func (r *run) lookup(c column) (value.Value, bool) {
	if r.msg.Columns != nil {
		if x, ok := r.msg.Columns[c.name]; ok {
			return r.fromAny(x), true
		}
	}
	if c.id == colOther || !r.has(c.id) {
		return value.Undefined(), false
	}
	return r.field(c.id), true
}

// fromAny converts a column that a source gave. What is no value of the rule
// language is as good as absent.
func (r *run) fromAny(x any) value.Value {
	v, err := imported(&r.arena, x)
	if err != nil {
		return value.Undefined()
	}
	return v
}

// has reports whether the message has a field. An empty name means that the
// source could not know it.
func (r *run) has(id columnID) bool {
	m := r.msg
	switch id {
	case colEvent, colMetadata, colNode, colTimestamp:
		return true
	case colClientID:
		return m.ClientID != ""
	case colUsername:
		return m.Username != ""
	case colPeerHost:
		return m.PeerHost != ""
	case colPeerName:
		return m.PeerName != ""
	case colTopic:
		return m.Topic != "" || m.Event == ""
	case colPayload:
		return m.Payload != nil || m.Event == ""
	case colReceivedAt:
		return !m.Received.IsZero() && r.publish() && !r.ingress()
	case colMessageReceivedAt:
		return !m.Received.IsZero() && r.ingress()
	case colDup, colRetain:
		return r.ingress()
	case colServer:
		return m.Server != "" && r.ingress()
	case colFlags:
		return r.publish() && !r.ingress()
	default:
		return r.publish()
	}
}

// publish reports whether the message is a published one, or an event about one,
// rather than an event that has no quality of service and the like.
func (r *run) publish() bool { return r.msg.Event == "" || r.msg.Payload != nil }

// ingress reports whether the message came from another system; EMQX has other
// columns for such messages.
func (r *run) ingress() bool {
	return strings.HasPrefix(r.msg.Event, "$sources/") || strings.HasPrefix(r.msg.Event, "$bridges/")
}

func (r *run) field(id columnID) value.Value {
	m := r.msg
	switch id {
	case colClientID:
		return value.String(m.ClientID)
	case colDup:
		return value.Bool(m.Dup)
	case colRetain:
		return value.Bool(m.Retain)
	case colEvent:
		if m.Event == "" {
			return value.String("message.publish")
		}
		return value.String(eventName(m.Event))
	case colFlags:
		return flags[flagIndex(m)]
	case colID:
		return r.messageID()
	case colMetadata:
		return r.prog.metadata
	case colNode:
		return value.String(r.prog.engine.node)
	case colPayload:
		return value.Bytes(m.Payload)
	case colPeerHost:
		return value.String(m.PeerHost)
	case colPeerName:
		return value.String(m.PeerName)
	case colPubProps:
		return r.properties()
	case colReceivedAt, colMessageReceivedAt:
		return value.Int(m.Received.UnixMilli())
	case colQoS:
		return value.Int(int64(m.QoS))
	case colServer:
		return value.String(m.Server)
	case colTimestamp:
		return value.Int(r.now().UnixMilli())
	case colTopic:
		return value.String(m.Topic)
	case colUsername:
		return value.String(m.Username)
	default:
		return value.Undefined()
	}
}

// flags are the values of the column of that name, by flagIndex.
var flags = func() (all [4]value.Value) {
	for i := range all {
		all[i] = value.Map([]value.Pair{{Key: "dup", Value: value.Bool(i&2 != 0)}, {Key: "retain", Value: value.Bool(i&1 != 0)}})
	}
	return all
}()

func flagIndex(m *bridge.Message) (i int) {
	if m.Retain {
		i |= 1
	}
	if m.Dup {
		i |= 2
	}
	return i
}

const hexDigits = "0123456789ABCDEF"

// messageID makes the column id: 32 hexadecimal digits of the time of receipt in
// microseconds, a number of the engine's own and the message's number. A message
// has the same id in all rules of an engine.
func (r *run) messageID() value.Value {
	b := r.arena.Buffer(32)[:0]
	b = appendHex(b, uint64(r.msg.Received.UnixMicro()), 16)
	b = appendHex(b, r.prog.engine.id, 8)
	b = appendHex(b, r.msg.Seq, 8)
	return value.String(r.arena.Keep(b))
}

func appendHex(b []byte, n uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		b = append(b, hexDigits[n>>(4*i)&15])
	}
	return b
}

// noProperties is the column pub_props of a message that has none.
var noProperties = value.Map([]value.Pair{{Key: "User-Property", Value: value.Map(nil)}})

// properties makes the column pub_props: the MQTT 5 properties under the names
// that the standard gives them.
func (r *run) properties() value.Value {
	p := r.msg.Props
	if p == nil {
		return noProperties
	}
	pairs := r.arena.Pairs(9)[:0]
	add := func(name string, v value.Value) { pairs = append(pairs, value.Pair{Key: name, Value: v}) }
	if p.PayloadFormat != nil {
		add("Payload-Format-Indicator", value.Int(int64(*p.PayloadFormat)))
	}
	if p.MessageExpiry != nil {
		add("Message-Expiry-Interval", value.Int(int64(*p.MessageExpiry)))
	}
	if p.ContentType != "" {
		add("Content-Type", value.String(p.ContentType))
	}
	if p.ResponseTopic != "" {
		add("Response-Topic", value.String(p.ResponseTopic))
	}
	if p.CorrelationData != nil {
		add("Correlation-Data", value.Bytes(p.CorrelationData))
	}
	if n := len(p.SubscriptionIDs); n > 0 {
		ids := r.arena.Values(n)
		for i, id := range p.SubscriptionIDs {
			ids[i] = value.Int(int64(id))
		}
		add("Subscription-Identifier", value.List(ids))
	}
	unique, all := r.userProperties(p.User)
	add("User-Property", unique)
	if len(p.User) > 0 {
		add("User-Property-Pairs", all)
	}
	return value.Map(pairs)
}

// userProperties returns the user properties as a map, in which the last of a
// name stands, and as the list of all of them in their order.
func (r *run) userProperties(user []bridge.UserProperty) (unique, all value.Value) {
	pairs, list := r.arena.Pairs(len(user)), r.arena.Values(len(user))
	for i, u := range user {
		pairs[i] = value.Pair{Key: u.Key, Value: value.String(u.Value)}
		entry := r.arena.Pairs(2)
		entry[0] = value.Pair{Key: "key", Value: value.String(u.Key)}
		entry[1] = value.Pair{Key: "value", Value: value.String(u.Value)}
		list[i] = value.Map(entry)
	}
	return value.Map(pairs), value.List(list)
}
