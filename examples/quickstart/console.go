package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/console"
)

// serveConsole shows the pipeline at http://addr until stop is called. Anybody on
// this machine may also switch its rules: it is an example, and listens on the
// loopback interface.
func serveConsole(ctx context.Context, out io.Writer, addr string, p *bridge.Pipeline) (stop func(), err error) {
	c, err := console.New(console.Config{
		Pipeline: p, Title: "quickstart",
		Sources:   map[string]console.SourceConfig{"devices": {Subscriptions: []string{"#"}}}, // a broker gets everything
		Authorize: func(*http.Request) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	server := &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	server.RegisterOnShutdown(c.Close)
	go func() { _ = server.Serve(ln) }() // ends by stop
	fmt.Fprintf(out, "Console      http://%s\n\n", ln.Addr())
	return func() {
		c.Close()
		_ = server.Close()
	}, nil
}
