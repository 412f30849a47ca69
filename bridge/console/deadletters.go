package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// DeadLettersConfig holds the options of a DeadLetters.
type DeadLettersConfig struct {
	// MaxBytes bounds the memory of what is kept. Default 16 MiB.
	MaxBytes int
	// MaxRecords bounds the number of records kept. Default 1,000.
	MaxRecords int
	// Replay does with a dead letter what is to be done when somebody replays
	// it, such as publishing its message again. A letter that was replayed
	// without an error is no longer kept. Default nil: nothing can be replayed.
	Replay func(context.Context, DeadLetter) error
}

// DeadLetter is a record that its sink could not store.
type DeadLetter struct {
	// ID numbers the letters of a DeadLetters from 1.
	ID   uint64
	Time time.Time // when it got here
	// Record is the record as the sink got it. Its attributes tell its history;
	// see bridge.QueueConfig.Fallback.
	Record bridge.Record
}

// Attr returns the value of the last attribute of that name, such as "sink",
// "dest", "topic", "rule", "error", "attempts" or "payload".
func (d *DeadLetter) Attr(name string) []byte {
	for _, a := range slices.Backward(d.Record.Attrs) {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

// DeadLetters is a bridge.Sink that keeps the latest records in memory, for the
// console to show. Make it the fallback of other sinks:
//
//	Sinks: {"kinesis": k, "dead": console.NewDeadLetters(console.DeadLettersConfig{})},
//	Queue: bridge.QueueConfig{Fallback: "dead"},
//
// It is no place to keep anything: its messages are acknowledged, older records
// give way to newer ones, and all end with the process.
type DeadLetters struct {
	cfg DeadLettersConfig

	mu    sync.Mutex
	kept  []DeadLetter // oldest first
	bytes int
	last  uint64
}

// NewDeadLetters returns an empty one.
func NewDeadLetters(cfg DeadLettersConfig) *DeadLetters {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 16 << 20
	}
	if cfg.MaxRecords <= 0 {
		cfg.MaxRecords = 1000
	}
	return &DeadLetters{cfg: cfg}
}

// Write implements bridge.Sink. It never fails.
func (d *DeadLetters) Write(_ context.Context, b *bridge.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for i := range b.Records {
		d.last++
		d.kept = append(d.kept, DeadLetter{d.last, now, clone(&b.Records[i])})
		d.bytes += b.Records[i].Size()
	}
	drop := 0
	for n := len(d.kept); drop < n && (n-drop > d.cfg.MaxRecords || d.bytes > d.cfg.MaxBytes); drop++ {
		d.bytes -= d.kept[drop].Record.Size()
	}
	d.kept = slices.Delete(d.kept, 0, drop)
	return nil
}

// clone copies the bytes, which belong to the batch.
func clone(r *bridge.Record) bridge.Record {
	c := *r
	c.Key, c.HashKey, c.Data = bytes.Clone(r.Key), bytes.Clone(r.HashKey), bytes.Clone(r.Data)
	c.Attrs = slices.Clone(r.Attrs)
	for i := range c.Attrs {
		c.Attrs[i].Value = bytes.Clone(c.Attrs[i].Value)
	}
	return c
}

// Close implements bridge.Sink.
func (d *DeadLetters) Close(context.Context) error { return nil }

// Len returns how many letters are kept.
func (d *DeadLetters) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.kept)
}

// All returns what is kept, the latest first.
func (d *DeadLetters) All() []DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.kept)
	slices.Reverse(list)
	return list
}

// Delete forgets letters and returns how many there were.
func (d *DeadLetters) Delete(ids ...uint64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.kept)
	d.kept = slices.DeleteFunc(d.kept, func(l DeadLetter) bool {
		if !slices.Contains(ids, l.ID) {
			return false
		}
		d.bytes -= l.Record.Size()
		return true
	})
	return before - len(d.kept)
}

// Replay calls DeadLettersConfig.Replay for letters, oldest first, until one
// fails, and forgets those that did not. It returns how many were replayed.
func (d *DeadLetters) Replay(ctx context.Context, ids ...uint64) (int, error) {
	if d.cfg.Replay == nil {
		return 0, errors.New("DeadLettersConfig.Replay is not set")
	}
	n := 0
	for _, l := range slices.Backward(d.All()) {
		if !slices.Contains(ids, l.ID) {
			continue
		}
		if err := d.cfg.Replay(ctx, l); err != nil {
			return n, fmt.Errorf("dead letter %d: %w", l.ID, err)
		}
		n += d.Delete(l.ID)
	}
	return n, nil
}

// Letter is a dead letter, as the API shows it.
type Letter struct {
	ID       uint64    `json:"id"`
	Time     time.Time `json:"time"`
	Sink     string    `json:"sink"`
	Dest     string    `json:"dest,omitempty"`
	Topic    string    `json:"topic"`
	Rule     string    `json:"rule"`
	Error    string    `json:"error"`
	Attempts string    `json:"attempts"`
	Key      Text      `json:"key"`
	Data     Text      `json:"data"`
	Payload  Text      `json:"payload"`
}

// Letters is a list of dead letters, the latest first.
type Letters struct {
	Letters []Letter `json:"letters"`
}

// IDs names dead letters.
type IDs struct {
	IDs []uint64 `json:"ids"`
}

// Replayed is the reply to a replay or a deletion: how many letters it was done
// with before the error, if there was one.
type Replayed struct {
	Count int    `json:"count"`
	Error string `json:"error,omitempty"`
}

// maxLetters bounds a reply.
const maxLetters = 200

// find returns the DeadLetters of the request; it has replied when there is none.
func (c *Console) find(w http.ResponseWriter, r *http.Request) *DeadLetters {
	name := r.PathValue("name")
	d, ok := c.cfg.Pipeline.Config().Sinks[name].(*DeadLetters)
	if !ok {
		fail(w, http.StatusNotFound, fmt.Errorf("there is no sink %q that is a console.DeadLetters", name))
		return nil
	}
	return d
}

func (c *Console) deadLetters(w http.ResponseWriter, r *http.Request) {
	d := c.find(w, r)
	if d == nil {
		return
	}
	out := Letters{Letters: []Letter{}}
	all := d.All()
	for i := range all[:min(len(all), maxLetters)] {
		l := &all[i]
		text := func(name string) string { return string(l.Attr(name)) }
		out.Letters = append(out.Letters, Letter{
			ID: l.ID, Time: l.Time, Sink: text("sink"), Dest: text("dest"), Topic: text("topic"), Rule: text("rule"),
			Error: text("error"), Attempts: text("attempts"),
			Key: textOf(l.Record.Key), Data: textOf(l.Record.Data), Payload: textOf(l.Attr("payload")),
		})
	}
	reply(w, out)
}

func (c *Console) replay(w http.ResponseWriter, r *http.Request) {
	c.letters(w, r, "dead letters replayed", func(d *DeadLetters, ids []uint64) (int, error) { return d.Replay(r.Context(), ids...) })
}

func (c *Console) deleteDeadLetters(w http.ResponseWriter, r *http.Request) {
	c.letters(w, r, "dead letters deleted", func(d *DeadLetters, ids []uint64) (int, error) { return d.Delete(ids...), nil })
}

func (c *Console) letters(w http.ResponseWriter, r *http.Request, what string, do func(*DeadLetters, []uint64) (int, error)) {
	var body IDs
	d := c.find(w, r)
	if d == nil || !read(w, r, &body) {
		return
	}
	n, err := do(d, body.IDs)
	out := Replayed{Count: n}
	if err != nil {
		out.Error = err.Error()
	}
	c.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "console: "+what,
		slog.String("sink", r.PathValue("name")), slog.Int("count", n), slog.String("error", out.Error), slog.String("peer", r.RemoteAddr))
	reply(w, out)
}
