package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// TestRequest is a statement and an event to try it on.
type TestRequest struct {
	SQL string `json:"sql"`
	// Topic is the topic of a published message, or the name of another event
	// ("$events/client/connected").
	Topic   string `json:"topic,omitempty"`
	Payload string `json:"payload"`
	// Source is the name of the source that the event comes from. The event has
	// no column that the source's events never have. Default: any of the sources.
	Source string `json:"source,omitempty"`
	// Columns are further columns of the event.
	Columns map[string]any `json:"columns,omitempty"`
	// Template is rendered over each row, if it is not empty.
	Template string `json:"template,omitempty"`
}

// TestResponse is what the statement made of the event. One that is refused or
// fails has Error; Faults then tells the places, if it was refused.
type TestResponse struct {
	Rows     []string `json:"rows"` // each as JSON, so that no number loses digits
	Rendered []string `json:"rendered,omitempty"`
	NoMatch  string   `json:"no_match,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Warnings []Fault  `json:"warnings,omitempty"`
	Error    string   `json:"error,omitempty"`
	Faults   []Fault  `json:"faults,omitempty"`
	Plan     string   `json:"plan,omitempty"`
}

// Fault is a place in a statement, counted from 1, and what is the matter.
type Fault struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (c *Console) test(w http.ResponseWriter, r *http.Request) {
	if err := c.mayTest(r); err != nil {
		fail(w, http.StatusForbidden, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTest)
	var in TestRequest
	if !read(w, r, &in) {
		return
	}
	sources := c.cfg.Pipeline.Config().Sources
	if in.Source != "" && sources[in.Source] == nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("there is no source %q", in.Source))
		return
	}
	absent := absentColumns(sources, in)
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	select {
	case c.tester <- struct{}{}:
	case <-ctx.Done():
		fail(w, http.StatusServiceUnavailable, errors.New("other statements are being tried and do not end"))
		return
	}
	type result struct {
		out TestResponse
		err error
	}
	done := make(chan result, 1)
	go func() { // the place is taken until it ends, whether somebody waits or not
		defer func() { <-c.tester }()
		out, err := try(in, absent, c.cfg.Engine)
		done <- result{out, err}
	}()
	select {
	case res := <-done:
		if res.err != nil {
			fail(w, http.StatusInternalServerError, res.err)
			return
		}
		reply(w, res.out)
	case <-ctx.Done():
		fail(w, http.StatusServiceUnavailable, fmt.Errorf("the statement takes longer than %v", testTime))
	}
}

const (
	// maxTest bounds the bytes of a statement with its event, and testTime how
	// long it may take.
	maxTest  = 256 << 10
	testTime = 5 * time.Second
	// maxRows and maxRowBytes end a statement that makes more.
	maxRows, maxRowBytes = 1000, 1 << 20
)

// absentColumns returns the columns that no event of the request's source has, or of
// any source if it names none. A source such as mqtt's says so by a method Absent.
func absentColumns(sources map[string]bridge.Source, in TestRequest) (list []string) {
	lacking := make(map[string]int) // in how many sources
	asked := 0
	for name, s := range sources {
		if in.Source != "" && in.Source != name {
			continue
		}
		asked++
		if a, ok := s.(interface{ Absent() []string }); ok {
			for _, column := range a.Absent() {
				lacking[column]++
			}
		}
	}
	for column, n := range lacking {
		if _, given := in.Columns[column]; n == asked && !given {
			list = append(list, column)
		}
	}
	return list
}

func try(in TestRequest, absent []string, engine *rule.Engine) (out TestResponse, err error) {
	defer func() { // a function of the user's
		if v := recover(); v != nil {
			err = fmt.Errorf("the statement panicked: %v", v)
		}
	}()
	out.Rows = []string{}
	compiled, err := rule.New(rule.Config{SQL: in.SQL, Engine: engine})
	if err == nil {
		out.Plan = compiled.Explain()
	}
	test := rule.TestInput{SQL: in.SQL, Topic: in.Topic, Columns: in.Columns, Absent: absent, Template: in.Template, Engine: engine, MaxRows: maxRows, MaxBytes: maxRowBytes}
	if test.Columns == nil {
		test.Columns = make(map[string]any)
	}
	if len(in.Topic) > 8 && in.Topic[:8] == "$events/" {
		test.Topic, test.EventTopic = "", in.Topic
	} else if _, ok := test.Columns["payload"]; !ok {
		test.Columns["payload"] = in.Payload
	}
	result, err := rule.Test(test)
	if err != nil {
		out.Error, out.Faults = err.Error(), faults(rule.SyntaxErrors(err))
		if eval, ok := errors.AsType[*rule.EvalError](err); ok {
			unnamed := *eval
			unnamed.Rule = ""
			out.Error = unnamed.Error()
		}
		return out, nil
	}
	out.Rows = append(out.Rows, result.JSON...)
	if out.Reason = result.Reason; result.More {
		out.Reason = "there are more rows than are shown"
	}
	out.Rendered, out.NoMatch = result.Rendered, string(result.NoMatch)
	out.Warnings = faults(result.Warnings)
	return out, nil
}

func faults(list []*rule.SyntaxError) (out []Fault) {
	for _, e := range list {
		line, column := e.Position()
		out = append(out, Fault{line, column, e.Summary(), e.Hint()})
	}
	return out
}
