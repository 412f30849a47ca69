package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/sluiceio/sluice/internal/redact"
)

// link is one client id at the broker: a connection that autopaho makes again
// whenever it is lost, with its session and its subscriptions.
type link struct {
	cfg     *Config
	brokers []*url.URL
	log     *slog.Logger
	dialer  dialer
	secrets redact.Secrets
	session *session
	counts  *counters
	changed func() // told about every change of status

	ctx     context.Context // of the link's life
	cancel  context.CancelFunc
	manager *autopaho.ConnectionManager
	work    sync.WaitGroup

	mu       sync.Mutex
	status   status
	subs     subscriptions
	exchange Exchange        // an authentication that is under way
	connect  *paho.Connect   // the last attempt's
	version  byte            // of MQTT, for the next attempt
	refused  byte            // versions that brokers have refused since one was accepted, as bits
	asked    map[string]bool // servers that were asked what they speak
	silent   int             // attempts in a row that no broker answered
	guessed  bool            // MQTT 3.1.1 is spoken because of silence alone
	target   *url.URL        // what is connected to, or being connected to
	redirect *url.URL        // where a broker has sent us; nil: the configured brokers
	hops     int             // redirects in a row
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
	failures  int // attempts failed since the last success
	permanent int // of them in a row, permanently
	flaps     int // connections in a row that did not last
}

// version returns the version of MQTT that is spoken.
func (s *status) version() byte {
	if s.conn != nil && s.conn.v3 {
		return version3
	}
	return version5
}

// stable is how long a connection has to last to count as a success.
const stable = 10 * time.Second

func newLink(cfg *Config, i int, in *inbox, counts *counters, changed func()) *link {
	l := &link{
		cfg: cfg, subs: newSubscriptions(), dialer: dialer{cfg}, counts: counts, changed: changed,
		status: status{clientID: cfg.clientID(i), since: time.Now()}, version: version5, asked: map[string]bool{},
	}
	if cfg.ProtocolVersion != 0 {
		l.version = byte(cfg.ProtocolVersion)
	}
	l.log = cfg.Logger.With("client_id", l.status.clientID)
	for _, b := range cfg.Brokers {
		u, _ := parseBroker(b) // checked by Validate
		l.brokers = append(l.brokers, u)
	}
	l.secrets = redact.Of(append(slices.Clone(cfg.Brokers), cfg.Proxy)...).And(cfg.Password)
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
			AuthHandler:        authenticator{l},
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
	l.hops = 0
	l.refused, l.silent = 0, 0
	guessed := l.guessed
	l.guessed = false
	st.resumed = ca.SessionPresent
	if first && ca.SessionPresent {
		_, covered := uncovered(l.cfg.Filters)
		l.subs.inherit(covered)
	}
	if !ca.SessionPresent {
		l.subs.made = 0
		clear(l.subs.have)
	}
	if st.subscribed = l.subs.confirmed(); st.subscribed {
		st.failures = 0
	}
	l.mu.Unlock()
	l.logUp(ca, first)
	l.changed()
	l.work.Go(func() { l.keepSubscribed(ctx, manager, c) })
	if guessed && c.v3 {
		l.work.Go(func() { l.verify(ctx, c) })
	}
}

func (l *link) logUp(ca *paho.Connack, first bool) {
	st := l.snapshot()
	log := l.log.With("broker", st.broker)
	log.Info("connected to the MQTT broker", "protocol", versionName(st.version()), "session_present", ca.SessionPresent)
	if weaker := l.cfg.weaker(); first && st.conn.v3 && len(weaker) > 0 {
		log.Warn("the MQTT broker speaks MQTT 3.1.1, in which some settings have no effect", "settings", weaker)
	}
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
	l.mu.Lock()
	l.redirect = nil
	l.mu.Unlock()
	if errors.As(err, &refused) && st.conn != nil && st.conn.connack != nil {
		ca := st.conn.connack
		e := connectRefused(st.broker, ca)
		if ca.Properties != nil {
			e = l.refer(ca.ReasonCode, ca.Properties.ServerReference, e)
		}
		l.trouble(l.fallBack(ca.ReasonCode, e))
		return
	}
	// autopaho's own text repeats the URL.
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "failed to connect to") {
		err = inner
	}
	if !st.everUp && st.conn != nil && (closedEarly(err) || isTimeout(err)) {
		if odd := l.identify(); odd != nil {
			err = odd
		}
	}
	l.trouble(l.fallBack(0, connectFailed(st.broker, err)))
}

// identify finds out, once for each server, what one speaks that does not answer MQTT.
func (l *link) identify() error {
	l.mu.Lock()
	u := l.target
	asked := l.asked[u.String()]
	l.asked[u.String()] = true
	l.mu.Unlock()
	if asked || u.Scheme == "ws" || u.Scheme == "wss" {
		return nil
	}
	return l.dialer.probe(l.ctx, u)
}

// lost is called with the reason when a connection that was up ends.
func (l *link) lost(err error) { l.trouble(connectionLost(l.snapshot().broker, err)) }

func (l *link) serverDisconnect(d *paho.Disconnect) {
	var detail, server string
	if d.Properties != nil {
		detail, server = d.Properties.ReasonString, d.Properties.ServerReference
	}
	l.trouble(l.refer(d.ReasonCode, server, disconnected(l.snapshot().broker, d.ReasonCode, detail, server)))
}

// trouble notes and logs an error.
func (l *link) trouble(err *Error) {
	if l.ctx.Err() != nil {
		return
	}
	err.text = l.secrets.Text(err.text) // a broker may repeat what it was told
	l.mu.Lock()
	st := &l.status
	st.lastErr = err
	if !errors.Is(err, errReferred) && !errors.Is(err, errOtherWay) {
		st.failures++
	}
	if err.Permanent {
		st.permanent++
	} else {
		st.permanent = 0
	}
	l.mu.Unlock()
	l.log.Warn("cannot reach the MQTT broker", "broker", err.Broker, "error", err)
	l.changed()
}

// redeliver reconnects after a pause when a window holds nothing but messages
// that could not be delivered, and what waits for them: the broker then sends
// them again.
func (l *link) redeliver(c *conn) {
	time.AfterFunc(l.pause(1+l.snapshot().flaps), func() {
		if l.ctx.Err() == nil && l.session.win.isStuck() {
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
	l.mu.Lock()
	st, made := l.status, l.subs.confirmed()
	l.mu.Unlock()
	cs := ConnectionStats{
		Broker: st.broker, ClientID: st.clientID, Version: int(st.version()), Connected: st.connected, Subscribed: st.subscribed && made,
		Since: st.since, LastError: st.lastErr, Window: l.cfg.ReceiveMaximum,
	}
	if st.conn != nil && st.connected {
		cs.InFlight = int(l.session.win.held.Load())
		cs.Paused = st.conn.paused.Load()
	}
	return cs
}
