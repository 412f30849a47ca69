package trace

import (
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/cut"
)

// Event is something that happened to a message that Messages follows.
// Of the pointers one is set, which says what it was.
type Event struct {
	Time time.Time `json:"time"`
	// ID numbers the messages that the trace follows from 1.
	ID uint64 `json:"id"`
	// Missed counts the messages since the event before that fit the filter and
	// were not followed, and the events that were left out: there were too many.
	Missed uint64 `json:"missed,omitempty"`

	// Message: it was received.
	Message *Message `json:"message,omitempty"`
	// Rule: a rule was applied to it.
	Rule *Rule `json:"rule,omitempty"`
	// Write: one of its records was in a write, or went on to a fallback.
	Write *Write `json:"write,omitempty"`
	// End: nothing more will happen to one of its records.
	End *End `json:"end,omitempty"`
	// Settled: it may be forgotten upstream, unless there is an error.
	Settled *Settled `json:"settled,omitempty"`
}

// Message is a message as the source gave it.
type Message struct {
	Source   string    `json:"source"`
	Seq      uint64    `json:"seq"`
	Topic    string    `json:"topic,omitempty"`
	Event    string    `json:"event,omitempty"`
	ClientID string    `json:"clientid,omitempty"`
	Username string    `json:"username,omitempty"`
	PeerName string    `json:"peername,omitempty"` // address, with the port if it is known
	QoS      byte      `json:"qos"`
	Retain   bool      `json:"retain"`
	Dup      bool      `json:"dup"`
	Received time.Time `json:"received,omitzero"`
	Payload  Excerpt   `json:"payload"`
	// UserProperties are those of MQTT 5, in their order.
	UserProperties []Attr `json:"user_properties,omitempty"`
	// Rules are the names of the rules that will be applied.
	Rules []string `json:"rules"`
}

// Rule is what a rule made of a message.
type Rule struct {
	Rule     string        `json:"rule"`
	Duration time.Duration `json:"duration_ns"`
	// Steps are the results of its clauses, for rules that are a bridge.Stepper.
	Steps []Step `json:"steps,omitempty"`
	// Records are those that it made, with its templates rendered; More counts
	// those that are left out, because there are many.
	Records []Record `json:"records"`
	More    int      `json:"more,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Record is a record as a rule made it.
type Record struct {
	// Record numbers the records of the message from 1.
	Record   int     `json:"record"`
	Sink     string  `json:"sink,omitempty"`
	Dest     string  `json:"dest,omitempty"`
	Key      Excerpt `json:"key"`
	HashKey  string  `json:"hash_key,omitempty"`
	Data     Excerpt `json:"data"`
	Attrs    []Attr  `json:"attrs,omitempty"`
	Optional bool    `json:"optional,omitempty"`
}

// Attr is an attribute of a record or a user property of a message.
type Attr struct {
	Name  string  `json:"name"`
	Value Excerpt `json:"value"`
}

// Write is a record's part in a write, or its way to a fallback.
type Write struct {
	Record int    `json:"record"`
	Sink   string `json:"sink"`
	// Attempt counts the writes to this sink from 1, Wait is the time in the
	// queue before the first.
	Attempt  int           `json:"attempt,omitempty"`
	Wait     time.Duration `json:"wait_ns,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Fallback is the sink that the record goes to next.
	Fallback string `json:"fallback,omitempty"`
	Error    string `json:"error,omitempty"`
}

// End is how a record ended.
type End struct {
	Record  int            `json:"record"`
	Outcome bridge.Outcome `json:"outcome"`
	Error   string         `json:"error,omitempty"`
}

// Settled is how a message ended.
type Settled struct {
	Outcome bridge.Outcome `json:"outcome"`
	// Error is why it was not stored.
	Error string `json:"error,omitempty"`
}

// Excerpt is the beginning of some bytes: text where they are UTF-8, base64
// otherwise.
type Excerpt struct {
	Text   string `json:"text"`
	Base64 bool   `json:"base64,omitempty"`
	// Size is the number of bytes in all.
	Size int `json:"size"`
}

// excerpt copies the beginning of b, limit bytes at most.
func excerpt(b []byte, limit int) Excerpt {
	text, encoded := cut.Show(b, limit)
	return Excerpt{Text: text, Base64: encoded, Size: len(b)}
}

// Step is a part of what a rule did with a message, in words for people.
type Step struct {
	// Name says which part it is, such as "WHERE".
	Name string `json:"name"`
	// Text is the part as the user wrote it, Result what came of it.
	Text   string `json:"text,omitempty"`
	Result string `json:"result"`
}
