package rule

import (
	"strconv"
	"strings"

	"github.com/sluiceio/sluice/internal/topic"
)

// event is a kind of event that EMQX's rule engine knows.
type event struct {
	name   string // the column "event"
	topic  string // what FROM names
	legacy string // the name before EMQX 5.10, still accepted
	// columns are the columns that the event has beside the common ones.
	columns string
}

// The columns that many events share.
const (
	messageColumns   = "id clientid username payload peerhost peername topic qos flags pub_props publish_received_at"
	deliveryColumns  = "id from_clientid from_username clientid username payload peerhost peername topic qos flags pub_props publish_received_at"
	clientColumns    = "clientid username peername sockname proto_name proto_ver"
	subscribeColumns = "clientid username peerhost peername topic qos client_attrs"
)

// events are EMQX's, from its documentation of 5.8 and its source of 6.3.
var events = [...]event{
	{"message.publish", "$events/message_publish", "", messageColumns + " client_attrs"},
	{"message.delivered", "$events/message/delivered", "$events/message_delivered", deliveryColumns},
	{"message.acked", "$events/message/acked", "$events/message_acked", deliveryColumns + " puback_props"},
	{"message.dropped", "$events/message/dropped", "$events/message_dropped", messageColumns + " reason"},
	{"delivery.dropped", "$events/message/delivery_dropped", "$events/delivery_dropped", deliveryColumns + " reason"},
	{"client.connected", "$events/client/connected", "$events/client_connected", clientColumns +
		" mountpoint keepalive clean_start receive_maximum expiry_interval is_bridge connected_at conn_props client_attrs"},
	{"client.disconnected", "$events/client/disconnected", "$events/client_disconnected", clientColumns +
		" reason disconn_props disconnected_at connected_at client_attrs"},
	{"client.connack", "$events/client/connack", "$events/client_connack", clientColumns +
		" reason_code clean_start keepalive expiry_interval connected_at conn_props"},
	{"client.ping", "$events/client/ping", "", clientColumns + " clean_start keepalive expiry_interval conn_props"},
	{
		"client.check_authz_complete", "$events/auth/check_authz_complete", "$events/client_check_authz_complete",
		"clientid username peername peerhost topic action authz_source result client_attrs",
	},
	{
		"client.check_authn_complete", "$events/auth/check_authn_complete", "$events/client_check_authn_complete",
		"clientid username peername reason_code is_superuser is_anonymous client_attrs",
	},
	{"session.subscribed", "$events/session/subscribed", "$events/session_subscribed", subscribeColumns + " sub_props"},
	{"session.unsubscribed", "$events/session/unsubscribed", "$events/session_unsubscribed", subscribeColumns + " unsub_props"},
	{"alarm.activated", "$events/sys/alarm_activated", "", "name details message activated_at"},
	{"alarm.deactivated", "$events/sys/alarm_deactivated", "", "name details message activated_at deactivated_at"},
	{
		"schema.validation_failed", "$events/schema_validation/failed", "$events/schema_validation_failed",
		messageColumns + " validation",
	},
	{
		"message.transformation_failed", "$events/message_transformation/failed", "$events/message_transformation_failed",
		"id clientid username payload peername topic qos flags pub_props publish_received_at transformation",
	},
}

// ingress are the columns of messages that a source of another kind received.
const ingressColumns = "id server payload topic qos dup retain pub_props message_received_at"

// eventByTopic returns the event with this topic, in its new or its legacy form.
func eventByTopic(t string) (*event, bool) {
	for i := range events {
		if e := &events[i]; e.topic == t || e.legacy == t && t != "" {
			return e, true
		}
	}
	return nil, false
}

// eventByName returns the event with this value of the column "event".
func eventByName(name string) (*event, bool) {
	for i := range events {
		if events[i].name == name {
			return &events[i], true
		}
	}
	return nil, false
}

// eventName is the value of the column "event" for messages of an event topic.
func eventName(t string) string {
	if e, ok := eventByTopic(t); ok {
		return e.name
	}
	return t
}

// normalFilter returns a filter of FROM with legacy names of events replaced.
func normalFilter(filter string) string {
	if e, ok := eventByTopic(filter); ok {
		return e.topic
	}
	return filter
}

// withoutPrefix returns a topic filter without what asks a broker for something
// beside it, or what is wrong with that.
func withoutPrefix(filter string) (rest, msg, hint string) {
	if rest, ok := strings.CutPrefix(filter, "$queue/"); ok {
		if rest == "" {
			return filter, "a topic filter must follow $queue/", ""
		}
		return rest, "", ""
	}
	if rest, ok := strings.CutPrefix(filter, "$delayed/"); ok {
		seconds, rest, _ := strings.Cut(rest, "/")
		if _, err := strconv.ParseUint(seconds, 10, 32); err != nil || rest == "" {
			return filter, "a delayed message is $delayed/seconds/topic", "a rule sees the message when it is delivered, by its topic"
		}
		return rest, "", ""
	}
	_, rest, _ = topic.Share(filter)
	return rest, "", ""
}

// prefixHint says where a prefix of a filter belongs.
func prefixHint(prefix string) string {
	if strings.HasPrefix(prefix, "$delayed/") {
		return "it is for those who publish; leave it out"
	}
	return "leave it out; that a subscription is shared is an option of the source"
}

// checkFilter returns what is wrong with a filter of FROM, and a hint.
func checkFilter(filter string) (msg, hint string) {
	if err := topic.ValidateFilter(filter); err != nil {
		return err.Error(), ""
	}
	if !strings.HasPrefix(filter, "$events/") {
		return "", ""
	}
	filter = normalFilter(filter)
	known := make([]string, 0, len(events))
	for i := range events {
		if topic.Match(filter, events[i].topic) {
			return "", ""
		}
		known = append(known, events[i].topic)
	}
	// A source of the user's own may have events of its own: only what looks
	// like a slip of the pen is refused.
	if near := nearest(filter, known); near != "" {
		return "no event has the topic " + filter, "did you mean " + near + "?"
	}
	return "", ""
}

// nearest returns the candidate that is a small edit away from name, "" for none.
func nearest(name string, candidates []string) string {
	best, limit := "", min(3, max(1, len(name)/3))
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), limit+1); d <= limit && c != name {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that lead from a to b, or at least ceiling when it is so large.
func distance(a, b string, ceiling int) int {
	if d := len(a) - len(b); d >= ceiling || -d >= ceiling {
		return ceiling
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
