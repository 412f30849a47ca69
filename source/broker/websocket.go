package broker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
)

// upgrader answers WebSocket handshakes (MQTT 5.0, section 6).
var upgrader = websocket.Upgrader{
	Subprotocols: []string{"mqtt", "mqttv3.1"},
	// Pages of any site may connect: it is MQTT's user and password that
	// protect the broker, not a cookie.
	CheckOrigin: func(*http.Request) bool { return true },
}

// handshakeBytes bounds the header of a WebSocket handshake.
const handshakeBytes = 16 << 10

// toWebSocket reads the one HTTP request of a connection, which has to ask for a
// WebSocket connection at the path, and makes it one. There is no HTTP server
// behind the port, so that its connections have the limits of all others from the
// first byte.
func (c *conn) toWebSocket(path string) error {
	head := &io.LimitedReader{R: c.Conn, N: handshakeBytes}
	br := bufio.NewReaderSize(head, readBuffer)
	r, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	w := &hijacker{conn: c.Conn, r: br}
	if path == "" {
		path = "/"
	}
	if r.URL.Path != path {
		http.NotFound(w, r)
		return errors.Join(fmt.Errorf("HTTP request for %q", short(r.URL.Path)), w.answer(r))
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return errors.Join(err, w.answer(r))
	}
	// Upgrade has cleared the deadline.
	if err := c.SetDeadline(c.since.Add(c.src.cfg.Limits.ConnectTimeout)); err != nil {
		return err
	}
	stream := &wsStream{Conn: ws}
	c.r.Reset(stream)
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.ws = stream
	return nil
}

// hijacker is the http.ResponseWriter of a handshake. It holds an answer back
// until it is known that there is one.
type hijacker struct {
	conn   net.Conn
	r      *bufio.Reader
	header http.Header
	status int
	body   strings.Builder
}

// Header implements http.ResponseWriter.
func (w *hijacker) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *hijacker) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *hijacker) Write(p []byte) (int, error) { return w.body.Write(p) }

// Hijack implements http.Hijacker.
func (w *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(w.r, bufio.NewWriterSize(w.conn, readBuffer)), nil
}

// answer writes an answer that ends the connection.
func (w *hijacker) answer(r *http.Request) error {
	if w.status == 0 {
		return nil
	}
	resp := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Request: r, Close: true,
		Body: io.NopCloser(strings.NewReader(w.body.String())), ContentLength: int64(w.body.Len()),
	}
	return resp.Write(w.conn)
}

// wsStream is a WebSocket connection as a stream: MQTT packets need not keep to
// the limits of frames.
type wsStream struct {
	*websocket.Conn
	frame io.Reader // the rest of the current frame
}

// Read implements io.Reader.
func (c *wsStream) Read(p []byte) (int, error) {
	for {
		if c.frame == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("websocket frame is not binary") // MQTT 5.0, section 6.0
			}
			c.frame = r
		}
		n, err := c.frame.Read(p)
		if errors.Is(err, io.EOF) {
			c.frame, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}
