package broker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// wsListener turns WebSocket connections into a net.Listener's (MQTT 5.0,
// section 6).
type wsListener struct {
	net.Listener
	server   http.Server
	upgrader websocket.Upgrader
	accepted chan net.Conn
	done     chan struct{}
	close    sync.Once
}

func listenWebSocket(ln net.Listener, path string) *wsListener {
	l := &wsListener{
		Listener: ln,
		upgrader: websocket.Upgrader{
			Subprotocols: []string{"mqtt", "mqttv3.1"},
			// Pages of any site may connect: it is MQTT's user and password
			// that protect the broker, not a cookie.
			CheckOrigin: func(*http.Request) bool { return true },
		},
		accepted: make(chan net.Conn),
		done:     make(chan struct{}),
	}
	if path == "" {
		path = "/"
	}
	mux := http.NewServeMux()
	mux.HandleFunc(path, l.upgrade)
	l.server = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = l.server.Serve(ln) }() // ends with Close
	return l
}

func (l *wsListener) upgrade(w http.ResponseWriter, r *http.Request) {
	ws, err := l.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	select {
	case l.accepted <- &wsConn{Conn: ws}:
	case <-l.done:
		_ = ws.Close()
	}
}

// Accept implements net.Listener.
func (l *wsListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *wsListener) Close() error {
	var err error
	l.close.Do(func() {
		close(l.done)
		err = l.server.Close()
	})
	return err
}

// wsConn is a WebSocket connection as a stream: MQTT packets need not keep to
// the limits of frames.
type wsConn struct {
	*websocket.Conn
	frame io.Reader // the rest of the current frame
}

// Read implements net.Conn.
func (c *wsConn) Read(p []byte) (int, error) {
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

// Write implements net.Conn. The caller writes from one goroutine at a time.
func (c *wsConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline implements net.Conn.
func (c *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
