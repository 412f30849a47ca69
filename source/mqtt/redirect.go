package mqtt

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/internal/redact"
)

// maxHops is how often in a row a source follows brokers that name another one.
const maxHops = 5

// validateHost checks an entry of Config.FollowHosts.
func validateHost(pattern string) error {
	host := strings.TrimPrefix(pattern, "*.")
	switch {
	case host == "" || strings.ContainsAny(host, "*/ "):
		return fmt.Errorf("%q: want a host, or *.domain", pattern)
	case strings.Contains(host, ":") && net.ParseIP(host) == nil:
		return fmt.Errorf("%q: want a host without scheme and port", pattern)
	}
	return nil
}

// mayFollow reports whether the configuration names a host.
func (c *Config) mayFollow(host string) bool {
	for _, pattern := range c.FollowHosts {
		if domain, below := strings.CutPrefix(pattern, "*"); below {
			if len(host) > len(domain) && strings.EqualFold(host[len(host)-len(domain):], domain) {
				return true
			}
		} else if strings.EqualFold(pattern, host) {
			return true
		}
	}
	return false
}

// referred returns the first server of a reference that may be followed, as a URL
// like that of the broker that named it. A reference is a list of hosts with or
// without a port, separated by spaces (MQTT 5.0, section 4.11).
func (c *Config) referred(from *url.URL, reference string) *url.URL {
	if from.Scheme == "unix" {
		return nil
	}
	for server := range strings.FieldsSeq(reference) {
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			host, port = strings.Trim(server, "[]"), ports[from.Scheme]
		}
		to := *from
		if to.Host = net.JoinHostPort(host, port); c.mayFollow(host) && to.Host != from.Host {
			return &to
		}
	}
	return nil
}

// refer takes a reference of the broker in use. If it may be followed, the next
// attempt to connect goes there, and further ones until one fails; the error then
// says so and is not a permanent move.
func (l *link) refer(code byte, reference string, e *Error) *Error {
	if reference == "" || code != packets.DisconnectUseAnotherServer && code != packets.DisconnectServerMoved {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.cfg.referred(l.target, reference)
	switch {
	case to == nil:
		e.text += ", which is not in FollowHosts"
		return e
	case l.hops >= maxHops:
		e.text += ", one of too many in a row"
		return e
	}
	l.hops++
	l.redirect = to
	e.text += ", where the source goes now"
	e.Permanent, e.err = false, errReferred
	return e
}

// errReferred marks an error that is being seen to.
var errReferred = errors.New("the broker named another one")

// aim sets what to connect to: u, or what a broker has named.
func (l *link) aim(u *url.URL) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.redirect != nil {
		u = l.redirect
	}
	l.target = u
	l.status.broker = redact.Parsed(u)
}
