package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// link is one client id at the broker: a connection that autopaho makes again
// whenever it is lost, with its session and its subscriptions.
type link struct {
	cfg     *Config
	brokers []*url.URL
	subs    []Subscription
	log     *slog.Logger
	dialer  dialer
	session *session
	counts  *counters
	changed func() // told about every change of status

	ctx     context.Context // of the link's life
	cancel  context.CancelFunc
	manager *autopaho.ConnectionManager
	work    sync.WaitGroup

	mu     sync.Mutex
	status status
}

// status is what is known about a link.
type status struct {
	clientID   string
	broker     string
	connected  bool
	resumed    bool // the broker has kept the session, and refused no subscription since
	subscribed bool
	since      time.Time
	lastErr    error
	conn       *conn // up, or being made
	down       context.CancelFunc

	everUp    bool
	confirmed bool // the broker's session holds our subscriptions
	failures  int  // attempts failed since the last success
	permanent int  // of them in a row, permanently
	flaps     int  // connections in a row that did not last
}

// stable is how long a connection has to last to count as a success.
const stable = 10 * time.Second

func newLink(cfg *Config, i int, in *inbox, counts *counters, changed func()) *link {
	l := &link{
		cfg: cfg, subs: cfg.subscriptions(i), dialer: dialer{cfg}, counts: counts, changed: changed,
		status: status{clientID: cfg.clientID(i), since: time.Now()},
	}
	l.log = cfg.Logger.With("source", "mqtt", "client_id", l.status.clientID)
	for _, b := range cfg.Brokers {
		u, _ := parseBroker(b) // checked by Validate
		l.brokers = append(l.brokers, u)
	}
	l.session = newSession(cfg, in, counts, l.log, l.redeliver)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// start begins to connect.
func (l *link) start() error {
	var err error
	l.manager, err = autopaho.NewConnection(l.ctx, autopaho.ClientConfig{
		ServerUrls:                    l.brokers,
		KeepAlive:                     uint16(max(l.cfg.KeepAlive, 0) / time.Second),
		CleanStartOnInitialConnection: l.cfg.CleanStart,
		ReconnectBackoff:              l.backoff,
		ConnectTimeout:                l.cfg.ConnectTimeout,
		AttemptConnection:             l.dial,
		ConnectPacketBuilder:          l.connectPacket,
		DisconnectPacketBuilder:       l.disconnectPacket,
		OnConnectionUp:                l.up,
		OnConnectionDown:              l.gone,
		OnConnectError:                l.connectFailed,
		ClientConfig: paho.ClientConfig{
			Session:            l.session,
			AuthHandler:        authenticator{l.cfg.Auth, l},
			PingHandler:        pinger{},
			PacketTimeout:      math.MaxInt64, // conn.untilSilent and autopaho's ConnectTimeout bound the waits
			OnServerDisconnect: l.serverDisconnect,
			OnClientError:      l.lost,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(p paho.PublishReceived) (bool, error) {
					l.session.receive0(p.Packet)
					return true, nil
				},
			},
		},
	})
	return err
}

// backoff is the wait before an attempt to connect. Connections that do not last
// count as failed attempts, so that two clients with the same client id do not
// take the session from each other without pause.
func (l *link) backoff(attempt int) time.Duration {
	l.mu.Lock()
	n, first := attempt+l.status.flaps, !l.status.everUp
	l.mu.Unlock()
	if n == 0 {
		if first {
			return 0
		}
		return rand.N(l.cfg.BackoffMin/4 + 1)
	}
	return l.pause(n)
}

// pause is the n-th wait in a row, from 1.
func (l *link) pause(n int) time.Duration {
	d := l.cfg.BackoffMax
	if n < 32 && l.cfg.BackoffMin<<(n-1) > 0 {
		d = min(d, l.cfg.BackoffMin<<(n-1))
	}
	return d - rand.N(d/2+1)
}

func (l *link) dial(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	raw, err := l.dialer.dial(ctx, u)
	if err != nil {
		return nil, err
	}
	c := newConn(raw, l.cfg.MaxPacketSize, l.session, l.changed)
	l.mu.Lock()
	l.status.conn = c
	l.mu.Unlock()
	return c, nil
}

// connectPacket completes CONNECT; autopaho calls it before it dials.
func (l *link) connectPacket(cp *paho.Connect, u *url.URL) (*paho.Connect, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.ConnectTimeout)
	defer cancel()
	l.mu.Lock()
	l.status.broker = u.Redacted()
	l.status.conn = nil
	cp.ClientID = l.status.clientID
	l.mu.Unlock()
	user, password := l.cfg.Username, []byte(l.cfg.Password)
	if l.cfg.Credentials != nil {
		var err error
		if user, password, err = l.cfg.Credentials(ctx); err != nil {
			return nil, &fieldError{"Credentials", err}
		}
	}
	cp.Username, cp.UsernameFlag = user, user != ""
	cp.Password, cp.PasswordFlag = password, len(password) > 0
	window := uint16(l.cfg.ReceiveMaximum)
	expiry := uint32(max(l.cfg.SessionExpiry, 0) / time.Second)
	cp.Properties = &paho.ConnectProperties{
		ReceiveMaximum: &window, SessionExpiryInterval: &expiry, RequestProblemInfo: true,
	}
	if l.cfg.MaxPacketSize < maxPacketSize {
		size := uint32(l.cfg.MaxPacketSize)
		cp.Properties.MaximumPacketSize = &size
	}
	for _, p := range l.cfg.UserProperties {
		cp.Properties.User.Add(p.Key, p.Value)
	}
	l.addWill(cp)
	return cp, l.addAuth(ctx, cp)
}

func (l *link) addWill(cp *paho.Connect) {
	w := l.cfg.Will
	if w == nil {
		return
	}
	delay := uint32(w.Delay / time.Second)
	cp.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain}
	cp.WillProperties = &paho.WillProperties{WillDelayInterval: &delay}
}

func (l *link) addAuth(ctx context.Context, cp *paho.Connect) error {
	a := l.cfg.Auth
	if a == nil {
		return nil
	}
	cp.Properties.AuthMethod = a.Method
	if a.Start == nil {
		return nil
	}
	data, err := a.Start(ctx)
	if err != nil {
		return &fieldError{"Auth.Start", err}
	}
	cp.Properties.AuthData = data
	return nil
}

// disconnectPacket ends the session if nobody can come back to it.
func (l *link) disconnectPacket() *paho.Disconnect {
	d := &paho.Disconnect{}
	if l.cfg.ClientID == "" && l.cfg.SessionExpiry > 0 {
		var zero uint32
		d.Properties = &paho.DisconnectProperties{SessionExpiryInterval: &zero}
	}
	return d
}

// up is called when the broker has accepted the connection.
func (l *link) up(manager *autopaho.ConnectionManager, ca *paho.Connack) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	st := &l.status
	first := !st.everUp
	st.connected, st.since, st.everUp, st.down = true, time.Now(), true, cancel
	if ca.Properties != nil && ca.Properties.AssignedClientID != "" {
		st.clientID = ca.Properties.AssignedClientID
	}
	c := st.conn
	st.permanent = 0 // what other brokers have refused
	st.resumed = ca.SessionPresent
	st.confirmed = st.confirmed && ca.SessionPresent
	keep := st.confirmed
	st.subscribed = keep
	if keep {
		st.failures = 0
	}
	l.mu.Unlock()
	l.logUp(ca, first)
	l.changed()
	if !keep {
		l.work.Go(func() { l.subscribe(ctx, manager, c) })
	}
}

func (l *link) logUp(ca *paho.Connack, first bool) {
	st := l.snapshot()
	log := l.log.With("broker", st.broker)
	log.Info("connected to the MQTT broker", "session_present", ca.SessionPresent)
	if !first {
		l.counts.reconnects.Add(1)
		if !ca.SessionPresent && l.cfg.SessionExpiry > 0 {
			l.counts.lost.Add(1)
			log.Warn("the MQTT broker has lost the session, and the messages that it held for it")
		}
	}
	if p := ca.Properties; p != nil && p.SessionExpiryInterval != nil {
		if got := time.Duration(*p.SessionExpiryInterval) * time.Second; got < l.cfg.SessionExpiry {
			log.Warn("the MQTT broker keeps the session for a shorter time than wanted", "wanted", l.cfg.SessionExpiry, "granted", got)
		}
	}
}

// gone is called when a connection that was up has ended.
func (l *link) gone() bool {
	l.mu.Lock()
	st := &l.status
	if time.Since(st.since) < stable {
		st.flaps++
	} else {
		st.flaps = 0
	}
	st.connected, st.resumed, st.subscribed, st.since = false, false, false, time.Now()
	if st.down != nil {
		st.down()
		st.down = nil
	}
	l.mu.Unlock()
	l.changed()
	return true
}

// connectFailed is called when an attempt to connect has failed.
func (l *link) connectFailed(err error) {
	st := l.snapshot()
	var refused *autopaho.ConnackError
	if errors.As(err, &refused) && st.conn != nil && st.conn.connack != nil {
		l.trouble(connectRefused(st.broker, st.conn.connack))
		return
	}
	// autopaho's own text repeats the URL.
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "failed to connect to") {
		err = inner
	}
	l.trouble(connectFailed(st.broker, err))
}

// lost is called with the reason when a connection that was up ends.
func (l *link) lost(err error) { l.trouble(connectionLost(l.snapshot().broker, err)) }

func (l *link) serverDisconnect(d *paho.Disconnect) {
	var detail, server string
	if d.Properties != nil {
		detail, server = d.Properties.ReasonString, d.Properties.ServerReference
	}
	l.trouble(disconnected(l.snapshot().broker, d.ReasonCode, detail, server))
}

// trouble notes and logs an error.
func (l *link) trouble(err *Error) {
	if l.ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	st := &l.status
	st.lastErr = err
	st.failures++
	if err.Permanent {
		st.permanent++
	} else {
		st.permanent = 0
	}
	l.mu.Unlock()
	l.log.Warn(err.Error())
	l.changed()
}

// redeliver reconnects after a pause when a window holds nothing but messages
// that could not be delivered, and what waits for them: the broker then sends
// them again.
func (l *link) redeliver(c *conn, w *window) {
	time.AfterFunc(l.pause(1+l.snapshot().flaps), func() {
		if l.ctx.Err() == nil && w.isStuck() {
			c.fail(errRedeliver)
		}
	})
}

// close disconnects; the acknowledgements that are due are sent before.
func (l *link) close(ctx context.Context) error {
	l.mu.Lock()
	if l.status.conn != nil {
		l.status.conn.graceful.Store(true)
	}
	l.mu.Unlock()
	l.cancel()
	if l.manager == nil {
		return nil
	}
	err := l.manager.Disconnect(ctx)
	if err != nil {
		if c := l.snapshot().conn; c != nil {
			c.fail(err)
		}
		<-l.manager.Done()
	}
	l.work.Wait()
	return errors.Join(err, l.session.SessionManager.Close())
}

func (l *link) snapshot() status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// check returns nil when the link can receive, or why it cannot. When a session that
// the broker has kept brings messages its subscriptions are in force; their
// confirmation may stand behind all that was kept. A kept session alone proves
// nothing: it may have been made by a client whose subscriptions were refused.
func (l *link) check() error {
	st := l.snapshot()
	switch {
	case st.connected && (st.subscribed || st.resumed && st.conn.lastMessage.Load() != 0):
		return nil
	case st.lastErr != nil:
		return st.lastErr
	case st.connected:
		return &Error{Broker: st.broker, text: "has not yet confirmed the subscriptions"}
	case st.broker == "":
		return errors.New("mqtt: not started")
	}
	return &Error{Broker: st.broker, text: "is being connected to"}
}

func (l *link) stats() ConnectionStats {
	st := l.snapshot()
	cs := ConnectionStats{
		Broker: st.broker, ClientID: st.clientID, Connected: st.connected, Subscribed: st.subscribed,
		Since: st.since, LastError: st.lastErr, Window: l.cfg.ReceiveMaximum,
	}
	if st.conn != nil && st.connected {
		cs.InFlight = l.session.inFlight()
		cs.Paused = st.conn.paused.Load()
	}
	return cs
}

// authenticator answers the broker's part of enhanced authentication. paho needs one
// even without, because a broker may ask unasked.
type authenticator struct {
	auth *Auth
	link *link
}

var errAuth = errors.New("the broker asks for an authentication that is not configured (Auth)")

// Authenticate answers a challenge.
func (a authenticator) Authenticate(challenge *paho.Auth) *paho.Auth {
	answer := &paho.Auth{ReasonCode: packets.AuthContinueAuthentication, Properties: &paho.AuthProperties{}}
	err := errAuth
	if a.auth != nil {
		answer.Properties.AuthMethod, err = a.auth.Method, nil
		if a.auth.Continue != nil {
			answer.Properties.AuthData, err = a.auth.Continue(challenge.Properties.AuthData)
		}
	}
	if err != nil {
		if c := a.link.snapshot().conn; c != nil {
			c.refuse(packets.DisconnectNotAuthorized, fmt.Errorf("Auth: %w", err))
		}
	}
	return answer
}

// Authenticated does nothing: that the connection is up says as much.
func (authenticator) Authenticated() {}
