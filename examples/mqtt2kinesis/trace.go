package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/bridge/trace"
	"github.com/sluiceio/sluice/source/mqtt"
)

// trace is the command trace: it follows messages of a bridge that is running.
func (p *program) trace(ctx context.Context, args []string) error {
	f := p.flags("trace", "[-listen 127.0.0.1:8080] [-rule NAME] [-client ID] [-topic t/#] [-address 10.0.0.0/8]")
	listen := f.String("listen", "127.0.0.1:8080", "`address` of the running bridge, as it was given as -listen")
	asJSON := f.Bool("json", false, "print the events as lines of JSON")
	query := url.Values{}
	for name, about := range map[string]string{
		"rule":     "only messages that the rule of this `name` is applied to",
		"source":   "only messages of the source of this `name`",
		"topic":    "only messages whose topic fits this `filter`",
		"client":   "only messages of the client with this `id` (known to a source of type broker)",
		"address":  "only messages from this `address` or network (known to a source of type broker)",
		"rate":     "messages per second, at most (default 20)",
		"max-text": "bytes shown of a payload or another text (default 4096)",
	} {
		f.Func(name, about, func(text string) error {
			query.Set(name, text)
			return nil
		})
	}
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	events, err := ask(ctx, *listen, "/trace?"+query.Encode())
	if ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	defer events.Close()
	fmt.Fprintf(p.stderr, "following messages of the bridge at %s; Ctrl-C ends it\n", *listen)
	err = printTrace(terminal{p.stdout}, events, *asJSON)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ask gets something from a running bridge that listens at addr.
func ask(ctx context.Context, addr, path string) (io.ReadCloser, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		return nil, usageError{fmt.Errorf("-listen %s: %w", addr, err)}
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no bridge answers at %s: start it with run -listen, and name that address: %w", addr, errors.Unwrap(err))
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var why any
	if json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&why) != nil {
		why = "is it the status of a bridge? it says " + answer.Status
	}
	if reasons, ok := why.(map[string]any); ok {
		var list []string
		for _, part := range slices.Sorted(maps.Keys(reasons)) {
			list = append(list, fmt.Sprintf("%s: %v", part, reasons[part]))
		}
		why = strings.Join(list, "; ")
	}
	err = fmt.Errorf("%s: %v", addr, why)
	if answer.StatusCode == http.StatusBadRequest {
		return nil, usageError{err}
	}
	return nil, err
}

// printTrace prints events until there are no more.
func printTrace(out io.Writer, events io.Reader, asJSON bool) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if asJSON {
			fmt.Fprintf(out, "%s\n", lines.Bytes())
			continue
		}
		var e trace.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the answer is not a trace: %w", err)
		}
		printEvent(out, &e)
	}
	return errors.Join(errors.New("the trace has ended: the bridge was stopped, or started again by a new definition"), lines.Err())
}

func printEvent(out io.Writer, e *trace.Event) {
	if e.Missed > 0 {
		fmt.Fprintf(out, "(%d left out)\n", e.Missed)
	}
	fmt.Fprintf(out, "%s #%d ", e.Time.Local().Format("15:04:05.000"), e.ID)
	switch {
	case e.Message != nil:
		printMessage(out, e.Message)
	case e.Rule != nil:
		printRule(out, e.Rule)
	case e.Write != nil && e.Write.Fallback != "":
		fmt.Fprintf(out, "record %d goes on to %s%s\n", e.Write.Record, line(e.Write.Fallback), because(e.Write.Error))
	case e.Write != nil:
		fmt.Fprintf(out, "record %d: attempt %d to write to %s, %v%s\n", e.Write.Record, e.Write.Attempt, line(e.Write.Sink), e.Write.Duration, because(e.Write.Error))
	case e.End != nil:
		fmt.Fprintf(out, "record %d: %v%s\n", e.End.Record, e.End.Outcome, because(e.End.Error))
	case e.Settled != nil && !e.Settled.Outcome.Settled():
		fmt.Fprintf(out, "not acknowledged%s\n", because(e.Settled.Error))
	case e.Settled != nil:
		fmt.Fprintf(out, "%v: its broker may forget it\n", e.Settled.Outcome)
	}
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + line(err)
}

func printMessage(out io.Writer, m *trace.Message) {
	topic := m.Topic
	if topic == "" {
		topic = m.Event
	}
	fmt.Fprintf(out, "message from %s, %s, QoS %d, %d bytes: %s\n", m.Source, line(topic), m.QoS, m.Payload.Size, line(m.Payload.Text))
	for _, l := range []struct{ name, text string }{{"client", m.ClientID}, {"user", m.Username}, {"address", m.PeerName}} {
		if l.text != "" {
			fmt.Fprintf(out, "    %s %s\n", l.name, line(l.text))
		}
	}
	fmt.Fprintf(out, "    rules %s\n", line(strings.Join(m.Rules, ", ")))
}

func printRule(out io.Writer, r *trace.Rule) {
	fmt.Fprintf(out, "rule %s, %v%s\n", line(r.Rule), r.Duration, because(r.Error))
	for _, s := range r.Steps {
		fmt.Fprintf(out, "    %s => %s\n", line(strings.TrimSpace(s.Name+" "+s.Text)), line(s.Result))
	}
	if len(r.Steps) == 0 { // it does not tell
		for i := range r.Records {
			fmt.Fprintf(out, "    record for %s, key %s: %s\n", line(r.Records[i].Sink), line(r.Records[i].Key.Text), line(r.Records[i].Data.Text))
		}
	}
	if len(r.Records)+r.More == 0 && r.Error == "" {
		fmt.Fprintln(out, "    nothing to send")
	}
}

// serveTrace streams a trace to clients on this machine, because it shows what
// messages hold.
func (s *status) serveTrace(w http.ResponseWriter, r *http.Request) {
	if !console.FromHere(r) {
		answer(w, http.StatusForbidden, "a trace shows payloads, so it is for this machine alone: run mqtt2kinesis trace there, in the container for example")
		return
	}
	s.mu.Lock()
	p, sources := s.current, s.sources
	s.mu.Unlock()
	if p == nil {
		answer(w, http.StatusServiceUnavailable, "not started")
		return
	}
	filter, err := traceFilter(r.URL.Query())
	if err == nil && filter.ClientID+filter.Address != "" && onlySubscribers(sources) {
		err = errors.New("-client and -address fit nothing: a source of type mqtt does not learn who published; choose by -topic or -rule")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	events, err := trace.Messages(r.Context(), p, filter)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	_ = stream.Flush()
	lines := json.NewEncoder(w)
	for e := range events {
		_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if lines.Encode(e) != nil || stream.Flush() != nil {
			return
		}
	}
}

// onlySubscribers reports whether all messages come through subscriptions.
func onlySubscribers(sources map[string]bridge.Source) bool {
	for _, s := range sources {
		if _, ok := s.(*mqtt.Source); !ok {
			return false
		}
	}
	return true
}

// traceFilter reads the filter from a query.
func traceFilter(query url.Values) (trace.Filter, error) {
	filter := trace.Filter{
		Rule: query.Get("rule"), Source: query.Get("source"), Topic: query.Get("topic"),
		ClientID: query.Get("client"), Address: query.Get("address"),
	}
	var errs []error
	for name, n := range map[string]*int{"rate": &filter.Rate, "max-text": &filter.MaxText} {
		if text := query.Get(name); text != "" {
			var err error
			if *n, err = strconv.Atoi(text); err != nil {
				errs = append(errs, fmt.Errorf("-%s: %q is not a number", name, text))
			}
		}
	}
	return filter, errors.Join(append(errs, filter.Validate())...)
}
