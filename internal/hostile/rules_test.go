//go:build linux

package hostile_test

import (
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/rule/sparkplug"
)

// Answers.
const (
	ok         = `ok`
	overMemory = `rule r: .* at \d+:\d+: .*budget "memory" exceeded: .*, the limit is \d+ bytes`
	overTime   = `rule r: .* at \d+:\d+: .*budget "time" exceeded: .*, the limit is .*`
	overAny    = overMemory + "|" + overTime
)

// message runs a rule on a payload, and then on one that is good.
func message(sql, good string, actions []rule.Action, payload func() string) func() func() string {
	return func() func() string {
		engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{sparkplug.Function()}})
		if err != nil {
			panic(err)
		}
		r, err := rule.New(rule.Config{Name: "r", SQL: sql, Actions: actions, Engine: engine})
		if err != nil {
			panic(err)
		}
		m := &bridge.Message{Topic: "t", ClientID: "c", Payload: []byte(payload()), Received: time.Now()}
		return func() string {
			out := new(bridge.Out)
			err := r.Apply(out, m)
			if good != "" {
				if failure := r.Apply(new(bridge.Out), &bridge.Message{Topic: "t", Payload: []byte(good)}); failure != nil {
					return "the next message fails: " + failure.Error()
				}
			}
			if err != nil {
				return err.Error()
			}
			return "ok"
		}
	}
}

// onMessage is message with one action of the default templates.
func onMessage(sql, good string, payload func() string) func() func() string {
	return message(sql, good, []rule.Action{{}}, payload)
}

// compiled compiles a statement and runs it on a message.
func compiled(sql func() string, payload string) func() func() string {
	return func() func() string {
		text := sql()
		return func() string {
			r, err := rule.New(rule.Config{Name: "r", SQL: text, Actions: []rule.Action{{}}})
			if err != nil {
				return err.Error()
			}
			if err := r.Apply(new(bridge.Out), &bridge.Message{Topic: "t", Payload: []byte(payload)}); err != nil {
				return err.Error()
			}
			return "ok"
		}
	}
}

// lit returns a text.
func lit(s string) func() string { return func() string { return s } }

// repeated is head, n times s, and tail.
func repeated(head, s string, n int, tail string) func() string {
	return func() string { return head + strings.Repeat(s, n) + tail }
}

// items is an object whose member a is a list of n items, all the same.
func items(n int, item string) func() string {
	return func() string { return `{"a":[` + strings.Repeat(item+",", n-1) + item + `]}` }
}
