//go:build linux

package hostile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/console"
)

// atConsole attacks the console and sees to it that it answers afterwards.
func atConsole(attack func(addr string) string) func() func() string {
	return func() func() string {
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": &bridgetest.Source{}},
			Rules:   map[string]bridge.Rule{"all": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "#")},
			Sinks:   map[string]bridge.Sink{"out": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
			Logger:  quiet,
		})
		must(err)
		c, err := console.New(console.Config{Pipeline: p, Logger: quiet})
		must(err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		server := &http.Server{Handler: c, ReadHeaderTimeout: time.Second, ReadTimeout: 5 * time.Second}
		go func() { _ = server.Serve(l) }()
		return func() string {
			answer := attack(l.Addr().String())
			resp, err := http.Get("http://" + l.Addr().String() + "/api/snapshot")
			if err != nil {
				return "the next request fails: " + err.Error()
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return "the next request is not answered: " + resp.Status
			}
			return answer
		}
	}
}

// consoleRows are requests to the console, most of them to its tester.
func consoleRows() []row {
	h := func(name string, attack func(addr string) string, answer string, short bool) row {
		return row{boundary: httpAPI, name: name, short: short, answer: answer, prepare: atConsole(attack)}
	}
	post := func(path, body string) func(addr string) string {
		return func(addr string) string {
			resp, err := http.Post("http://"+addr+"/api/"+path, "application/json", strings.NewReader(body))
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%d, %d KB: %.300s", resp.StatusCode, len(text)>>10, text)
		}
	}
	try := func(name, sql, payload, answer string, short bool) row {
		body, err := json.Marshal(console.TestRequest{SQL: sql, Payload: payload})
		must(err)
		return h(name, post("test", string(body)), answer, short)
	}
	const refused = `200, 0 KB: .*budget.*`
	return []row{
		try("a jq program without end", `SELECT jq('def f: 1+f; f', payload, 3600000) FROM "#"`, `{}`, refused+"|200.*deep.*", true),
		try("a jq program that counts", `SELECT jq('last(range(1e12))', payload, 3600000) FROM "#"`, `{}`, refused, true),
		try("a jq program that doubles", `SELECT jq('reduce range(60) as $i ("x"; . + .)', payload) FROM "#"`, `{}`, refused, false),
		try("rows of the whole payload", `FOREACH payload.a FROM "#"`, items(20_000, "100")(), `200, \d{3,4} KB: .*`, true),
		try("a pattern that backtracks", `SELECT regex_match(payload, '(?=a)(a+)+b') AS x FROM "#"`, strings.Repeat("a", 5000), refused, false),
		try("200,000 digits", `SELECT 1 AS x FROM "#" WHERE payload.n > 20`, `{"n":`+strings.Repeat("9", 200_000)+`}`, `\d+, .*`, false),
		try("a large result", `SELECT pad(payload, 3000000) AS x FROM "#"`, `x`, `\d+, .*`, false),
		try("a deep payload", `SELECT payload.a AS x FROM "#"`, strings.Repeat(`{"a":`, 20_000), `\d+, .*`, false),
		h("a body without end", func(addr string) string {
			nc, err := net.Dial("tcp", addr)
			must(err)
			defer nc.Close()
			_, _ = fmt.Fprintf(nc, "POST /api/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{\"sql\":\"")
			more := []byte(strings.Repeat("x", 64<<10))
			for range 1 << 14 {
				if _, err := nc.Write(more); err != nil {
					return ok
				}
			}
			return "1 GiB was read"
		}, ok, true),
		h("headers without end", func(addr string) string {
			nc, err := net.Dial("tcp", addr)
			must(err)
			defer nc.Close()
			_, _ = fmt.Fprintf(nc, "GET / HTTP/1.1\r\n")
			more := []byte(strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 64))
			for range 1 << 12 {
				if _, err := nc.Write(more); err != nil {
					return ok
				}
			}
			return "256 MiB were read"
		}, ok, false),
		h("JSON that is deep", post("test", strings.Repeat(`{"columns":`, 90_000)), `400, .*`, true),
		h("JSON lists that are deep", post("test", `{"columns":{"a":`+strings.Repeat("[", 900_000)), `400, .*`, false),
		h("many columns", post("test", `{"sql":"SELECT * FROM \"#\"","payload":"","columns":{`+strings.Repeat(`"a":[],`, 30_000)+`"b":1}}`), `\d+, .*`, false),
		h("a number of 200,000 digits", post("test", `{"sql":"SELECT a FROM \"#\"","payload":"","columns":{"a":`+strings.Repeat("9", 200_000)+`}}`), `\d+, .*`, false),
		h("a change without a login", post("rules/all/reset", `{}`), `403, .*`, true),
		h("dead letters without a login", post("deadletters/out/replay", `{}`), `403, .*`, false),
		h("a trace without a login", post("trace", `{}`), `403, .*`, false),
		h("paths that lead out", func(addr string) string {
			nc, err := net.Dial("tcp", addr)
			must(err)
			defer nc.Close()
			_, _ = fmt.Fprintf(nc, "GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			text, _ := io.ReadAll(nc)
			return string(text[:min(len(text), 12)])
		}, `HTTP/1.1 [34]\d\d`, false),
		h("200 event streams", func(addr string) string {
			for range 200 {
				nc, err := net.Dial("tcp", addr)
				must(err)
				_, _ = fmt.Fprintf(nc, "GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
			}
			time.Sleep(500 * time.Millisecond) // while they are served
			return ok
		}, ok, false),
	}
}
