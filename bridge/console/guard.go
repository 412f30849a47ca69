package console

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// known says why a request is not answered that asks for a name which is not this
// console's; nil means that it is. A page elsewhere can make its own name lead to
// this machine (DNS rebinding), and its scripts then count as of the same origin.
// No such name is an address.
func (c *Console) known(r *http.Request) error { return CheckHost(r, c.cfg.Hosts) }

// CheckHost says why a request is not to be answered that asks for a name which is
// neither an address, nor localhost, nor one of the names; see Config.Hosts.
func CheckHost(r *http.Request, names []string) error {
	host := hostOf(r)
	if isAddress(host) || isLocal(host) || slices.ContainsFunc(names, func(name string) bool {
		return name == "*" || strings.EqualFold(name, host)
	}) {
		return nil
	}
	return fmt.Errorf("%q is not known to be a name of this server: ask by its address, or configure the name as one of its hosts", host)
}

// mayTest says why a request may not run a statement; nil means that it may. A
// statement is a program: it is for users who have logged in or are at this machine.
func (c *Console) mayTest(r *http.Request) error {
	if c.access(r) == nil || FromHere(r) {
		return nil
	}
	return errors.New("trying a statement needs a login, or a browser on the machine of the console")
}

// FromHere reports whether a request comes from this machine: not by way of a
// proxy, and not from a page that has another name for it.
func FromHere(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host := hostOf(r)
	addr, err := netip.ParseAddr(host)
	return isLocal(host) || err == nil && addr.Unmap().IsLoopback()
}

// hostOf returns the host that a request asks for, without its port.
func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isLocal reports whether a name always is this machine's (RFC 6761, section 6.3).
func isLocal(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// limited answers no more requests at once than there are places.
func limited(places chan struct{}, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "10")
			fail(w, http.StatusServiceUnavailable, fmt.Errorf("there are %d of these already", cap(places)))
		}
	}
}
