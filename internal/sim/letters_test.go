package sim

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/oracle"
)

const deadLetters = "dead"

// letterBox keeps dead letters. It outlives bridges, as a file does.
type letterBox struct {
	mu      sync.Mutex
	failing error // what writes fail with
	letters []oracle.Arrival
	failed  map[string]bool // payloads on which a rule has failed
}

var errAway = errors.New("the letter box is away")

func (b *letterBox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = err
}

// letterSink is a bridge's way to the letter box.
type letterSink struct{ l *life }

func (s *letterSink) Write(_ context.Context, batch *bridge.Batch) error {
	b := s.l.w.letters
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.l.dead.Load() {
		return errKilled
	}
	if b.failing != nil {
		return b.failing
	}
	for _, r := range batch.Records {
		b.put(r)
	}
	return nil
}

func (s *letterSink) Close(context.Context) error { return nil }

// put keeps a letter: of a record that Kinesis has refused, or a message on which a
// rule has failed.
func (b *letterBox) put(r bridge.Record) {
	if slices.ContainsFunc(r.Attrs, func(a bridge.Attr) bool { return a.Name == "clientid" }) {
		b.failed[string(r.Data)] = true
		return
	}
	l := &oracle.Letter{Key: string(r.Key), Data: string(r.Data), Topic: r.Topic, Rule: r.Rule}
	for _, a := range r.Attrs {
		v := string(a.Value)
		switch a.Name {
		case "sink":
			l.Attrs.Sink = v
		case "dest":
			l.Attrs.Dest = v
		case "topic":
			l.Attrs.Topic = v
		case "rule":
			l.Attrs.Rule = v
		case "error":
			l.Attrs.Error = v
		case "attempts":
			l.Attrs.Attempts = v
		case "payload":
			_ = json.Unmarshal(a.Value, &l.Attrs.Payload)
		}
	}
	if l.Attrs.Dest == "" {
		l.Attrs.Dest = oracle.Streams[0]
	}
	b.letters = append(b.letters, oracle.Arrival{Stream: l.Attrs.Dest, Key: l.Key, Data: l.Data, Letter: l})
}
