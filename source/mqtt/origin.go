package mqtt

import (
	"strings"

	"github.com/sluiceio/sluice/bridge"
)

// Origin says where in a message the name of its publisher is. MQTT does not pass that on
// to subscribers, but many publishers put it into a user property or the topic. The zero
// value means nowhere.
type Origin struct {
	// UserProperty is the key of a user property (MQTT 5); of several with the same
	// key the first one counts.
	UserProperty string
	// TopicLevel is the number of a level of the topic, from 1: 2 is "d7" in
	// "devices/d7/temp".
	TopicLevel int
}

// validate checks an Origin of the configuration.
func (o Origin) validate(p *problems, field string) {
	p.check(o.TopicLevel >= 0, field+".TopicLevel", "%d is negative", o.TopicLevel)
	p.check(o.TopicLevel == 0 || o.UserProperty == "", field, "UserProperty and TopicLevel exclude each other")
}

// of returns what it finds in a message, "" if nothing.
func (o Origin) of(p *publish) string {
	if p.props == nil {
		return o.Find(p.topic, nil)
	}
	return o.Find(p.topic, p.props.User)
}

// Find returns what it finds in a message with a topic and user properties, "" if
// nothing.
func (o Origin) Find(topic string, user []bridge.UserProperty) string {
	switch {
	case o.TopicLevel > 0:
		rest, more := topic, true
		var level string
		for n := o.TopicLevel; n > 0; n-- {
			if !more {
				return ""
			}
			level, rest, more = strings.Cut(rest, "/")
		}
		return level
	case o.UserProperty != "":
		for i := range user {
			if user[i].Key == o.UserProperty {
				return user[i].Value
			}
		}
	}
	return ""
}
