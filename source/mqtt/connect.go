package mqtt

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

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

// dial makes the network connection to the target, which may be another than the URL
// that autopaho has in mind.
func (l *link) dial(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	l.mu.Lock()
	u, cp, v3 := l.target, l.connect, l.version == version3
	l.mu.Unlock()
	if v3 && cp.CleanStart && cp.ClientID != "" && *cp.Properties.SessionExpiryInterval > 0 {
		if err := l.discardSession(ctx, u, cp.Packet()); err != nil {
			return nil, err
		}
	}
	raw, err := l.dialer.dial(ctx, u)
	if err != nil {
		return nil, err
	}
	c := newConn(raw, l.cfg.MaxPacketSize, l.session, l.changed)
	c.consent = l.consent
	c.server = cmp.Or(u.Host, u.Path)
	if v3 {
		c.speakV3()
	}
	l.mu.Lock()
	l.status.conn = c
	l.mu.Unlock()
	return c, nil
}

// connectPacket completes CONNECT; autopaho calls it before it dials.
func (l *link) connectPacket(cp *paho.Connect, u *url.URL) (*paho.Connect, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.ConnectTimeout)
	defer cancel()
	l.aim(u)
	l.mu.Lock()
	l.status.conn = nil
	l.exchange = nil
	cp.ClientID = l.status.clientID
	l.connect = cp
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

func (l *link) addAuth(ctx context.Context, cp *paho.Connect) (err error) {
	if l.cfg.Auth == nil {
		return nil
	}
	cp.Properties.AuthMethod = l.cfg.Auth.Method
	cp.Properties.AuthData, err = l.begin(ctx)
	return err
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
