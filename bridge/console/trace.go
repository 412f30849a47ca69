package console

import (
	"context"
	"net/http"
	"time"

	"github.com/sluiceio/sluice/bridge/trace"
	"github.com/sluiceio/sluice/internal/cut"
)

// Text is bytes: text where they are UTF-8, base64 otherwise; long ones are cut.
type Text struct {
	Text   string `json:"text"`
	Base64 bool   `json:"base64,omitempty"`
	Size   int    `json:"size"`
}

const (
	maxText      = 4 << 10
	maxTraceTime = 10 * time.Minute
)

func textOf(b []byte) Text {
	text, encoded := cut.Show(b, maxText)
	return Text{Text: text, Base64: encoded, Size: len(b)}
}

// TraceRequest says which messages to trace: those that fit all that is given.
type TraceRequest struct {
	// Rule is the name of a rule that they are given to.
	Rule string `json:"rule,omitempty"`
	// Source is the name of the source that they come from.
	Source string `json:"source,omitempty"`
	// Topic is a topic filter.
	Topic string `json:"topic,omitempty"`
	// ClientID and Address are those of the publisher, where the source knows
	// them; an address may be a prefix such as 10.1.0.0/16.
	ClientID string `json:"clientid,omitempty"`
	Address  string `json:"address,omitempty"`
}

// trace sends, as JSON lines, what becomes of messages until the viewer goes away,
// for ten minutes at most.
func (c *Console) trace(w http.ResponseWriter, r *http.Request) {
	var in TraceRequest
	if !read(w, r, &in) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxTraceTime)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	events, err := trace.Messages(ctx, c.cfg.Pipeline, trace.Filter{
		Rule: in.Rule, Source: in.Source, Topic: in.Topic, ClientID: in.ClientID, Address: in.Address, MaxText: maxText,
	})
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("X-Accel-Buffering", "no") // proxies are not to hold lines back
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}
	for e := range events {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can
		if _, err := w.Write(append(encode(e), '\n')); err != nil || out.Flush() != nil {
			return
		}
	}
}
