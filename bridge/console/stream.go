package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Access tells a viewer what it may do.
type Access struct {
	// Change says whether it may change things and read messages, and Reason
	// why it may not.
	Change bool   `json:"change"`
	Reason string `json:"reason,omitempty"`
}

// writeTimeout is how long a viewer may take to read an event.
const writeTimeout = 10 * time.Second

// stream sends server-sent events: access and history once, topology when it
// changes, and snapshot once a second. A viewer that reads slowly misses some.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies are not to hold events back
	out := http.NewResponseController(w)
	send := func(event string, data []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		return err == nil
	}
	defer c.hub.join()()
	access := Access{Change: true}
	if err := c.access(r); err != nil {
		access = Access{Reason: err.Error()}
	}
	if !send("access", encode(access)) || !send("history", encode(c.hub.past())) {
		return
	}
	var version uint64
	for {
		f, changed := c.hub.frame()
		if f != nil {
			if f.version != version && !send("topology", f.topology) {
				return
			}
			version = f.version
			if !send("snapshot", f.snapshot) {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// now calls show with the next frame.
func (c *Console) now(w http.ResponseWriter, r *http.Request, show func(*frame) []byte) {
	defer c.hub.join()()
	for {
		f, changed := c.hub.frame()
		if f != nil {
			reply(w, json.RawMessage(show(f)))
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-c.ctx.Done():
			fail(w, http.StatusServiceUnavailable, c.ctx.Err())
			return
		}
	}
}

func (c *Console) snapshot(w http.ResponseWriter, r *http.Request) {
	c.now(w, r, func(f *frame) []byte { return f.snapshot })
}

func (c *Console) topology(w http.ResponseWriter, r *http.Request) {
	c.now(w, r, func(f *frame) []byte { return f.topology })
}

// encode encodes values that can always be encoded.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal(Failure{Error: err.Error()})
	}
	return data
}

// Failure is the body of a reply that is an error.
type Failure struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(v)) // a viewer that has gone needs no reply
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(Failure{err.Error()})) // as above
}
