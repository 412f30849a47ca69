package console

import (
	"encoding/base64"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluiceio/sluice/bridge"
)

// Traced is a message that a traced rule was applied to, and what it made of it.
type Traced struct {
	Time     time.Time      `json:"time"`
	Topic    string         `json:"topic"`
	ClientID string         `json:"clientid,omitempty"`
	QoS      int            `json:"qos"`
	Payload  Text           `json:"payload"`
	Records  []TracedRecord `json:"records"`
	Error    string         `json:"error,omitempty"`
	// Missed counts messages before this one that are not shown, because there
	// were too many.
	Missed uint64 `json:"missed,omitempty"`
}

// TracedRecord is a record that the rule made.
type TracedRecord struct {
	Sink string `json:"sink,omitempty"`
	Dest string `json:"dest,omitempty"`
	Key  Text   `json:"key"`
	Data Text   `json:"data"`
}

// Text is bytes: text where they are UTF-8, base64 otherwise; long ones are cut.
type Text struct {
	Text   string `json:"text"`
	Base64 bool   `json:"base64,omitempty"`
	Size   int    `json:"size"`
}

// What a trace shows at most.
const (
	maxText        = 4 << 10
	maxTraceRate   = 20 // messages per second
	maxTraceTime   = 10 * time.Minute
	maxTraceRecord = 20 // of a message
)

func textOf(b []byte) Text {
	t := Text{Size: len(b)}
	if len(b) > maxText {
		b = b[:maxText]
		for i := range utf8.UTFMax - 1 { // the cut may have gone through a character
			if utf8.RuneStart(b[maxText-1-i]) {
				if !utf8.FullRune(b[maxText-1-i:]) {
					b = b[:maxText-1-i]
				}
				break
			}
		}
	}
	if t.Base64 = !utf8.Valid(b); t.Base64 {
		t.Text = base64.StdEncoding.EncodeToString(b)
	} else {
		t.Text = string(b)
	}
	return t
}

// trace sends, as JSON lines, the messages that a rule is applied to until the
// viewer goes away, for ten minutes at most, and not more than some per second.
func (c *Console) trace(w http.ResponseWriter, r *http.Request) {
	seen := make(chan Traced, maxTraceRate)
	tickets := make(chan struct{}, maxTraceRate) // for the messages of this second
	refill(tickets)
	var missed atomic.Uint64
	stop, err := c.cfg.Pipeline.TraceRule(r.PathValue("name"), func(m *bridge.Message, made []bridge.Record, err error) {
		select {
		case <-tickets:
		default:
			missed.Add(1)
			return
		}
		select {
		case seen <- traced(m, made, err, missed.Swap(0)):
		default:
			missed.Add(1)
		}
	})
	if err != nil {
		fail(w, http.StatusNotFound, err)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	second, end := time.NewTicker(time.Second), time.NewTimer(maxTraceTime)
	defer second.Stop()
	defer end.Stop()
	for out.Flush() == nil {
		select {
		case t := <-seen:
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can
			if _, err := w.Write(append(encode(t), '\n')); err != nil {
				return
			}
		case <-second.C:
			refill(tickets)
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		case <-c.ctx.Done():
			return
		}
	}
}

func refill(tickets chan struct{}) {
	for {
		select {
		case tickets <- struct{}{}:
		default:
			return
		}
	}
}

func traced(m *bridge.Message, made []bridge.Record, err error, missed uint64) Traced {
	t := Traced{
		Time: time.Now(), Topic: m.Topic, ClientID: m.ClientID, QoS: int(m.QoS),
		Payload: textOf(m.Payload), Records: []TracedRecord{}, Missed: missed,
	}
	if t.Topic == "" {
		t.Topic = m.Event
	}
	if err != nil {
		t.Error = err.Error()
	}
	for _, rec := range made[:min(len(made), maxTraceRecord)] {
		t.Records = append(t.Records, TracedRecord{rec.Sink, rec.Dest, textOf(rec.Key), textOf(rec.Data)})
	}
	return t
}
