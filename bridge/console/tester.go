package console

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sluiceio/sluice/rule"
)

// TestRequest is a statement and an event to try it on.
type TestRequest struct {
	SQL string `json:"sql"`
	// Topic is the topic of a published message, or the name of another event
	// ("$events/client/connected").
	Topic   string `json:"topic,omitempty"`
	Payload string `json:"payload"`
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
	var in TestRequest
	if !read(w, r, &in) {
		return
	}
	select {
	case c.tester <- struct{}{}:
		defer func() { <-c.tester }()
	case <-r.Context().Done():
		return
	}
	out, err := try(in, c.cfg.Engine)
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	reply(w, out)
}

func try(in TestRequest, engine *rule.Engine) (out TestResponse, err error) {
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
	test := rule.TestInput{SQL: in.SQL, Topic: in.Topic, Columns: in.Columns, Template: in.Template, Engine: engine}
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
		if eval := (*rule.EvalError)(nil); errors.As(err, &eval) {
			eval = &rule.EvalError{Clause: eval.Clause, Expr: eval.Expr, Err: eval.Err} // the rule has no name
			out.Error = eval.Error()
		}
		return out, nil
	}
	out.Rows = append(out.Rows, result.JSON...)
	out.Rendered, out.NoMatch, out.Reason = result.Rendered, string(result.NoMatch), result.Reason
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
