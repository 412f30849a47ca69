package mqtt

import (
	"context"
	"errors"
	"fmt"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// Auth is enhanced authentication (MQTT 5.0, section 4.12).
type Auth struct {
	// Method is the name of the authentication method.
	Method string
	// Begin begins an exchange: one with every attempt to connect, and one per
	// connection with every Source.Reauthenticate. With several connections it
	// is called concurrently.
	Begin func(ctx context.Context) (Exchange, error)
}

// Exchange is the client's side of one authentication. Its methods are called one
// after the other; an error of theirs gives the connection up.
type Exchange interface {
	// Start returns the data to send with CONNECT, or with the AUTH packet that
	// begins a re-authentication; nil means none.
	Start() ([]byte, error)
	// Continue answers a challenge of the broker.
	Continue(challenge []byte) ([]byte, error)
	// Finish gets the data that came with the broker's consent, nil if there
	// was none. Methods in which the broker has to prove who it is, such as
	// SCRAM, check it here.
	Finish(data []byte) error
}

// Token is an Exchange that sends itself and expects no challenge.
type Token []byte

// Start returns the token.
func (t Token) Start() ([]byte, error) { return t, nil }

// Continue returns an error.
func (Token) Continue([]byte) ([]byte, error) {
	return nil, errors.New("the broker is not content with a token: it sent a challenge")
}

// Finish accepts whatever the broker sends.
func (Token) Finish([]byte) error { return nil }

var (
	errAuth       = errors.New("the broker asks for an authentication that is not configured (Auth)")
	errUnasked    = errors.New("Auth: the broker sent AUTH although no authentication is under way")
	errOtherAuth  = errors.New("Auth: the broker answered with another authentication method")
	errAuthBusy   = errors.New("an authentication is under way already")
	errAuthSilent = errors.New("the broker did not answer an authentication in time")
)

// begin begins an exchange and returns the data to send first.
func (l *link) begin(ctx context.Context) ([]byte, error) {
	e, err := l.cfg.Auth.Begin(ctx)
	if err != nil {
		return nil, &fieldError{"Auth", err}
	}
	data, err := e.Start()
	if err != nil {
		return nil, &fieldError{"Auth", err}
	}
	l.setExchange(e)
	return data, nil
}

func (l *link) setExchange(e Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exchange = e
}

// consent ends an exchange: the broker is content with us, and now we have to be
// content with the broker. What it sends when nothing is under way is no consent.
func (l *link) consent(c *conn, p *packets.Properties) error {
	l.mu.Lock()
	e := l.exchange
	l.exchange = nil
	l.mu.Unlock()
	var err error
	switch {
	case e == nil:
		return nil
	case p != nil && p.AuthMethod != "" && p.AuthMethod != l.cfg.Auth.Method:
		err = errOtherAuth
	case p != nil:
		err = e.Finish(p.AuthData)
	default:
		err = e.Finish(nil)
	}
	if err != nil {
		err = &fieldError{"Auth", err}
		c.refuse(packets.DisconnectNotAuthorized, err)
	}
	return err
}

// authenticator answers the broker's part of enhanced authentication. paho needs one
// even without, because a broker may ask unasked.
type authenticator struct{ link *link }

// Authenticate answers a challenge.
func (a authenticator) Authenticate(challenge *paho.Auth) *paho.Auth {
	l := a.link
	answer := &paho.Auth{ReasonCode: packets.AuthContinueAuthentication, Properties: &paho.AuthProperties{}}
	l.mu.Lock()
	e, c := l.exchange, l.status.conn
	l.mu.Unlock()
	code, err := byte(packets.DisconnectProtocolError), errUnasked
	switch {
	case l.cfg.Auth == nil:
		code, err = packets.DisconnectNotAuthorized, errAuth
	case e == nil:
	case challenge.Properties.AuthMethod != l.cfg.Auth.Method:
		err = errOtherAuth
	default:
		answer.Properties.AuthMethod = l.cfg.Auth.Method
		if answer.Properties.AuthData, err = e.Continue(challenge.Properties.AuthData); err != nil {
			code, err = packets.DisconnectNotAuthorized, &fieldError{"Auth", err}
		}
	}
	if err != nil && c != nil {
		c.refuse(code, err)
	}
	return answer
}

// Authenticated does nothing: consent is asked before, with the broker's data.
func (authenticator) Authenticated() {}

// reauthenticate begins an exchange on an open connection (section 4.12.1) and waits
// for its end. A link that is not connected has nothing to do.
func (l *link) reauthenticate(ctx context.Context) error {
	l.mu.Lock()
	st, busy := l.status, l.exchange != nil
	l.mu.Unlock()
	switch {
	case !st.connected:
		return nil
	case busy:
		return &Error{Broker: st.broker, text: "cannot be authenticated with again: " + errAuthBusy.Error(), err: errAuthBusy}
	}
	data, err := l.begin(ctx)
	if err != nil {
		return connectFailed(st.broker, err)
	}
	ctx, cancel := st.conn.untilSilent(ctx, l.cfg.ConnectTimeout, errAuthSilent)
	defer cancel()
	answer, err := l.manager.Authenticate(ctx, &paho.Auth{
		ReasonCode: packets.AuthReauthenticate,
		Properties: &paho.AuthProperties{AuthMethod: l.cfg.Auth.Method, AuthData: data},
	})
	switch {
	case err == nil && answer.Success:
		return nil
	case err == nil:
		return disconnected(st.broker, answer.ReasonCode, answer.Properties.ReasonString, "")
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	err = st.conn.reason(err)
	if errors.Is(err, errAuthSilent) {
		st.conn.fail(err) // the broker may or may not have changed its mind about us
	}
	return connectionLost(st.broker, fmt.Errorf("authenticating again: %w", err))
}
