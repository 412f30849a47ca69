package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/eclipse/paho.golang/packets"
	"github.com/gorilla/websocket"

	"github.com/sluiceio/sluice/internal/cut"
)

// Error is trouble with a broker, in one sentence.
type Error struct {
	// Broker is the broker's URL.
	Broker string
	// Filter is the topic filter of a refused subscription.
	Filter string
	// Code is the MQTT reason code, 0x80 and above, or 0 when the trouble is
	// not an answer of the broker.
	Code byte
	// Permanent says that trying again will not help until somebody changes
	// something: credentials, certificates, permissions, the configuration.
	Permanent bool

	text string
	err  error
}

// Error names the broker and says what is wrong.
func (e *Error) Error() string { return "mqtt: broker " + e.Broker + " " + e.text }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.err }

var (
	// ErrSessionTakenOver is the cause when another client with the same
	// client id has taken the session.
	ErrSessionTakenOver = errors.New("session taken over by another client")

	errNoSuback  = errors.New("the broker did not answer a subscription in time")
	errRedeliver = errors.New("reconnecting to be sent again what could not be delivered")
)

// reasonWords are the reason codes of CONNACK, SUBACK and DISCONNECT from 0x80
// on (MQTT 5.0, sections 3.2.2.2, 3.9.3 and 3.14.2.1).
var reasonWords = map[byte]string{
	0x80: "unspecified error",
	0x81: "malformed packet",
	0x82: "protocol error",
	0x83: "error specific to the broker",
	0x84: "it does not support this version of MQTT",
	0x85: "client id not allowed",
	0x86: "bad user name or password",
	0x87: "not authorized",
	0x88: "server unavailable",
	0x89: "server busy",
	0x8A: "this client is banned",
	0x8B: "server shutting down",
	0x8C: "bad authentication method",
	0x8D: "keep-alive timeout",
	0x8E: "session taken over by another client with the same client id",
	0x8F: "topic filter not allowed",
	0x90: "topic name of the will not allowed",
	0x91: "packet identifier in use",
	0x93: "receive maximum exceeded",
	0x94: "topic alias invalid",
	0x95: "packet too large",
	0x96: "message rate too high",
	0x97: "quota exceeded",
	0x98: "administrative action",
	0x99: "payload format of the will invalid",
	0x9A: "retained messages not supported (will)",
	0x9B: "QoS not supported (will)",
	0x9C: "use another server",
	0x9D: "server moved",
	0x9E: "shared subscriptions not supported",
	0x9F: "connection rate exceeded",
	0xA0: "maximum connect time",
	0xA1: "subscription identifiers not supported",
	0xA2: "wildcard subscriptions not supported",
}

func reasonText(code byte, detail, server string) string {
	words := reasonWords[code]
	if words == "" {
		words = "unknown reason"
	}
	text := fmt.Sprintf("%s (0x%02X)", words, code)
	if detail != "" {
		text += ": " + short(detail)
	}
	if server != "" {
		text += ": the broker names " + short(server)
	}
	return text
}

// short cuts what a broker says, which may have 64 KB.
func short(text string) string { return cut.Text(text, 200) }

// passing are the reason codes of a refused connection or subscription that may
// pass by themselves.
const passing = "\x80\x83\x88\x89\x8B\x91\x97\x9C\x9F"

func connectRefused(broker string, ca *packets.Connack) *Error {
	var detail, server string
	if ca.Properties != nil {
		detail, server = ca.Properties.ReasonString, ca.Properties.ServerReference
	}
	return &Error{
		Broker: broker, Code: ca.ReasonCode, Permanent: strings.IndexByte(passing, ca.ReasonCode) < 0,
		text: "refused the connection: " + reasonText(ca.ReasonCode, detail, server),
	}
}

func subscribeRefused(broker, filter string, code byte, detail string) *Error {
	return &Error{
		Broker: broker, Filter: filter, Code: code, Permanent: code == 0x80 || strings.IndexByte(passing, code) < 0,
		text: fmt.Sprintf("refused the subscription to %q: %s", filter, reasonText(code, detail, "")),
	}
}

func unsubscribeRefused(broker, filter string, code byte) *Error {
	return &Error{
		Broker: broker, Filter: filter, Code: code, Permanent: code == 0x80 || strings.IndexByte(passing, code) < 0,
		text: fmt.Sprintf("refused to end the subscription to %q: %s", filter, reasonText(code, "", "")),
	}
}

func disconnected(broker string, code byte, detail, server string) *Error {
	e := &Error{Broker: broker, Code: code, text: "closed the connection: " + reasonText(code, detail, server)}
	if code == packets.DisconnectSessionTakenOver {
		e.err = ErrSessionTakenOver
	}
	if code < 0x80 {
		e.Code, e.text = 0, "closed the connection"
	}
	return e
}

// connectFailed explains why a connection was not made.
func connectFailed(broker string, err error) *Error {
	e := &Error{Broker: broker, err: err}
	e.text, e.Permanent = explain(err)
	return e
}

// explain puts an error of dialing or reading into words; permanent errors are
// those of TLS and of the protocol, not those of the network.
func explain(err error) (text string, permanent bool) {
	var (
		verify   *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		op       *net.OpError
		dns      *net.DNSError
		field    *fieldError
		refused  *handshakeError
	)
	switch {
	case errors.As(err, &field):
		return "cannot be connected to: " + field.Error(), strings.HasSuffix(field.field, "File")
	case errors.As(err, &hostname):
		return "has a certificate for another name: " + hostname.Error(), true
	case errors.As(err, &unknown):
		return "has a certificate that is signed by an unknown authority (CAFile): " + unknown.Error(), true
	case errors.As(err, &invalid):
		return "has an invalid certificate: " + invalid.Error(), true
	case errors.As(err, &verify):
		return "has a certificate that cannot be verified: " + verify.Error(), true
	case errors.As(err, &record):
		return "does not speak TLS on this port", true
	case errors.As(err, &op) && op.Op == "remote error":
		return "refused the TLS handshake (CertFile, KeyFile): " + op.Err.Error(), true
	case errors.As(err, &refused):
		return "refused the WebSocket: " + refused.Error(), refused.status >= 400 && refused.status < 500 && refused.status != 429
	case errors.Is(err, websocket.ErrBadHandshake):
		return "does not speak WebSocket on this path", true
	case errors.Is(err, errSpeaksTLS), errors.Is(err, errSpeaksHTTP):
		return "cannot be used: " + err.Error(), true
	case errors.Is(err, errNoTLS), errors.Is(err, errNoWebSocket):
		return "cannot be used: " + err.Error(), false
	case errors.Is(err, errOnlyV3):
		return "cannot be used: " + err.Error(), true
	case errors.Is(err, errMalformed):
		return "cannot be used: " + err.Error(), false
	case errors.As(err, &dns):
		return "cannot be found: " + dns.Error(), false
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return "did not answer in time", false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed the connection without an answer, as ports for TLS or WebSocket may do", false
	}
	return "cannot be reached: " + err.Error(), false
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// connectionLost explains the end of a connection that was up.
func connectionLost(broker string, err error) *Error {
	text := "is gone: " + err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = "closed the connection without a reason"
	}
	return &Error{Broker: broker, text: text, err: err}
}

// fieldError is trouble with a part of the configuration: a file or a function.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }
