package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sluiceio/sluice/bridge/console"
)

// listening says where the status of the bridge is served, and to whom.
type listening struct {
	addr   string // empty: nowhere
	expose string // what other machines get
	hosts  string // names of this machine, with commas
}

// What other machines may ask for, by the value of -expose.
const (
	exposeNothing = ""
	exposeProbes  = "probes"
	exposeAll     = "all"
)

// define defines the flags.
func (l *listening) define(f *flag.FlagSet) {
	f.StringVar(&l.addr, "listen", "", "`address` for /livez, /readyz, /metrics, /stats, /trace and /console/, such as 127.0.0.1:8080 (default none)")
	f.StringVar(&l.expose, "expose", "", "what -listen tells other machines, which has neither TLS nor a login: `probes` (/livez, /readyz and /metrics) or all (default: -listen must be an address of this machine alone)")
	f.StringVar(&l.hosts, "hosts", "", "`names`, with commas, by which other machines ask for /stats and /console/, with -expose all")
}

// check reports what is wrong with the flags.
func (l *listening) check() error {
	if l.expose != exposeNothing && l.expose != exposeProbes && l.expose != exposeAll {
		return fmt.Errorf("-expose: %q is not probes or all", l.expose)
	}
	if l.addr == "" || l.expose != exposeNothing {
		return nil
	}
	host, port, err := net.SplitHostPort(l.addr)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if strings.Trim(port, "0123456789") != "" {
		return nil // it cannot be listened on, which is told then
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	return fmt.Errorf("-listen %s: other machines could see there what the bridge does, without TLS and login: "+
		"listen on 127.0.0.1, or say -expose probes for /livez, /readyz and /metrics, or -expose all", l.addr)
}

const (
	// maxConns is how many connections there may be, and idleTime how long one
	// may be without a request.
	maxConns = 256
	idleTime = time.Minute
	// maxHeader bounds the bytes of a request's header.
	maxHeader = 16 << 10
)

// listen opens the listener and makes the server.
func (l *listening) listen(ctx context.Context, handler http.Handler, log *slog.Logger) (net.Listener, *http.Server, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.addr)
	if err != nil {
		return nil, nil, fmt.Errorf("-listen %s: %w", l.addr, err)
	}
	server := &http.Server{
		Handler: l.guard(handler), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return netutil.LimitListener(ln, maxConns), server, nil
}

// guard answers other machines what -expose says only. The console itself has an
// eye on the names that it is asked by.
func (l *listening) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz", "/metrics":
		default:
			if err := l.admit(r); err != nil {
				answer(w, http.StatusForbidden, err.Error())
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (l *listening) admit(r *http.Request) error {
	if l.expose == exposeAll {
		return console.CheckHost(r, l.names())
	}
	if !console.FromHere(r) {
		return errors.New("this is for the machine of the bridge alone, by its address or as localhost; see -expose")
	}
	return nil
}

// names are the names of -hosts.
func (l *listening) names() []string {
	return strings.FieldsFunc(l.hosts, func(r rune) bool { return r == ',' || r == ' ' })
}
