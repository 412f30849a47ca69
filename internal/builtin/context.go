package builtin

import (
	"strings"

	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/internal/value"
)

func eventFunctions() []Function {
	var out []Function
	add := func(name, column, doc string) {
		out = append(out, Function{
			Name: name, Doc: doc,
			Call: func(c *Ctx, _ []value.Value) (value.Value, error) { return c.column(column), nil },
		})
	}
	add("clientid", "clientid", "The client id of the event, undefined when it has none.")
	add("username", "username", "The user name of the event.")
	add("clientip", "peerhost", "The IP address of the client, another name of peerhost().")
	add("peerhost", "peerhost", "The IP address of the client.")
	add("msgid", "id", "The message's id.")
	add("qos", "qos", "The message's quality of service.")
	return append(out,
		Function{
			Name: "topic", Args: params("n", Int), Call: topicLevel,
			Doc: "The message's topic, or its level n, counted from 1.",
		},
		Function{
			Name: "payload", Args: params("path", String), Call: payload,
			Doc: "The message's payload, or the value at a path in it, whose steps are separated by dots; a payload that is no JSON is then an error.",
		},
		Function{
			Name: "flags", Call: func(c *Ctx, _ []value.Value) (value.Value, error) { return c.flags(), nil },
			Doc: "The message's flags, such as retain and dup, as a map.",
		},
		Function{
			Name: "flag", Args: params("name", String), Min: 1, Doc: "One of the message's flags.",
			Call: func(c *Ctx, args []value.Value) (value.Value, error) {
				return c.flags().Member(c.Arena, args[0].AsString()), nil
			},
		},
		Function{
			Name: "contains_topic", Args: params("filters", List, "topic", String, "qos", Int), Min: 2, Pure: true,
			Call:     containsTopic(func(filter, name string) bool { return filter == name }),
			Doc:      "Whether an array of topic filters, texts or maps with topic and qos, has a topic, with a quality of service if one is given.",
			Examples: []Example{{Expr: "contains_topic(['t/1', 't/2'], 't/2')", Result: "true"}, {Expr: `contains_topic(json_decode('[{"topic":"t/1","qos":1}]'), 't/1', 0)`, Result: "false"}},
		},
		Function{
			Name: "contains_topic_match", Args: params("filters", List, "topic", String, "qos", Int), Min: 2, Pure: true,
			Call:     containsTopic(func(filter, name string) bool { return topic.Match(filter, name) || topic.Match(name, filter) }),
			Doc:      "Like contains_topic, for topics that match a filter of the array or, where the text given is a filter, are matched by it.",
			Examples: []Example{{Expr: "contains_topic_match(['t/#'], 't/1/x')", Result: "true"}, {Expr: "contains_topic_match(['t/1', 'u'], 't/+')", Result: "true"}},
		},
	)
}

// column returns a column of the event, undefined when there is none.
func (c *Ctx) column(name string) value.Value {
	if c.Event == nil {
		return value.Undefined()
	}
	return c.Event.Column(name)
}

func (c *Ctx) flags() value.Value {
	if v := c.column("flags"); !v.IsUndefined() {
		return v
	}
	return value.Map(nil)
}

// containsTopic looks for an entry of a list of subscriptions.
func containsTopic(same func(filter, name string) bool) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		for _, e := range args[0].Elements(c.Arena) {
			filter, qos := e, value.Undefined()
			if e.Kind() == value.KindMap {
				filter, qos = e.Member(c.Arena, "topic"), e.Member(c.Arena, "qos")
			}
			if filter.Kind() != value.KindString || !same(filter.AsString(), args[1].AsString()) {
				continue
			}
			if len(args) < 3 || value.Equal(qos, args[2]) {
				return value.Bool(true), nil
			}
		}
		return value.Bool(false), nil
	}
}

func topicLevel(c *Ctx, args []value.Value) (value.Value, error) {
	t := c.column("topic")
	if len(args) == 0 || t.IsUndefined() {
		return t, nil
	}
	rest, more := t.AsString(), true
	n := intArg(args[0])
	var level string
	for i := 0; i < n && more; i++ {
		level, rest, more = strings.Cut(rest, "/")
		if i == n-1 {
			return value.String(level), nil
		}
	}
	return value.Undefined(), bad("the topic has no level %d", n)
}

func payload(c *Ctx, args []value.Value) (value.Value, error) {
	v := c.column("payload")
	if len(args) == 0 || v.IsUndefined() {
		return v, nil
	}
	if v.Kind() == value.KindString {
		var err error
		if v, err = c.Arena.DecodeString(v.AsString()); err != nil {
			return v, err
		}
	}
	for step := range strings.SplitSeq(args[0].AsString(), ".") {
		if v = v.Parse(c.Arena).Member(c.Arena, step); v.IsUndefined() || c.Arena.Err() != nil {
			break
		}
	}
	return v, nil
}
