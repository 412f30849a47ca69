package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/value"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

// request is a line of the input: a statement, an expression (run as SELECT expr
// AS r FROM "#") or a template, and the event to try it on. In context,
// {"$undef":true} is the undefined value, {"$b64":"…"} bytes and {"$bits":"0101"}
// a bit string.
type request struct {
	ID         json.RawMessage `json:"id"`
	SQL        *string         `json:"sql"`
	Expr       *string         `json:"expr"`
	Template   *string         `json:"template"`
	Topic      string          `json:"topic"`
	EventTopic string          `json:"event_topic"`
	Payload    *string         `json:"payload"`
	PayloadB64 []byte          `json:"payload_b64"`
	Context    json.RawMessage `json:"context"`
	Engine     string          `json:"engine"`
}

// answer is a line of the output.
type answer struct {
	ID       json.RawMessage  `json:"id,omitempty"`
	Result   *json.RawMessage `json:"result,omitempty"`
	Rendered []any            `json:"rendered,omitempty"`
	Text     any              `json:"text,omitempty"`
	NoMatch  string           `json:"nomatch,omitempty"`
	Error    string           `json:"error,omitempty"`
	Phase    string           `json:"phase,omitempty"`
	Metrics  map[string]int   `json:"metrics,omitempty"`
}

// maxLine is the longest request that is read.
const maxLine = 16 << 20

// serve answers requests, one JSON text per line, in their order.
func serve(in io.Reader, out io.Writer) error {
	engine, err := rule.NewEngine(rule.EngineConfig{Location: time.Local})
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := enc.Encode(handle(lines.Bytes(), engine)); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), w.Flush())
}

func handle(line []byte, engine *rule.Engine) answer {
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Error: err.Error(), Phase: "parse"}
	}
	a := q.answer(engine)
	a.ID = q.ID
	return a
}

func (q *request) answer(engine *rule.Engine) answer {
	d, err := dialect(q.Engine)
	if err != nil {
		return answer{Error: err.Error(), Phase: "parse"}
	}
	if q.SQL == nil && q.Expr == nil && q.Template != nil {
		return q.render(d)
	}
	in := rule.TestInput{Topic: q.Topic, EventTopic: q.EventTopic, Engine: engine, Dialect: d}
	if in.Columns, err = q.columns(); err != nil {
		return answer{Error: err.Error(), Phase: "parse"}
	}
	if _, ok := in.Columns["payload"]; !ok {
		in.Absent = []string{"payload"}
	}
	switch {
	case q.SQL != nil:
		in.SQL = *q.SQL
	case q.Expr != nil:
		in.SQL = "SELECT " + *q.Expr + ` AS r FROM "#"`
	}
	if q.Template != nil {
		in.Template = *q.Template
	}
	result, err := rule.Test(in)
	if err != nil {
		return failure(err)
	}
	return success(result)
}

func (q *request) columns() (map[string]any, error) {
	columns := make(map[string]any)
	if len(q.Context) > 0 && string(q.Context) != "null" {
		var err error
		if columns, err = decodeColumns(q.Context); err != nil {
			return nil, fmt.Errorf("context: %w", err)
		}
	}
	switch {
	case q.Payload != nil:
		columns["payload"] = *q.Payload
	case q.PayloadB64 != nil:
		columns["payload"] = q.PayloadB64
	}
	return columns, nil
}

func failure(err error) answer {
	var eval *rule.EvalError
	if errors.As(err, &eval) {
		return answer{Error: err.Error(), Phase: "runtime", Metrics: map[string]int{"matched": 1, "failed": 1, "failed.exception": 1}}
	}
	return answer{Error: err.Error(), Phase: "parse"}
}

func success(t *rule.TestResult) answer {
	switch t.NoMatch {
	case rule.NoMatchTopic:
		return answer{NoMatch: "topic"}
	case rule.NoMatchWhere:
		return answer{NoMatch: "where", Metrics: noResult()}
	}
	rows := []byte("[")
	for i, row := range t.Rows {
		if i > 0 {
			rows = append(rows, ',')
		}
		rows = appendMarked(rows, row)
	}
	raw := json.RawMessage(append(rows, ']'))
	a := answer{Result: &raw, Metrics: map[string]int{"matched": 1, "passed": 1}}
	if len(t.Rows) == 0 {
		a.Metrics = noResult()
	}
	for _, s := range t.Rendered {
		a.Rendered = append(a.Rendered, json.RawMessage(appendMarked(nil, s)))
	}
	return a
}

func noResult() map[string]int {
	return map[string]int{"matched": 1, "failed": 1, "failed.no_result": 1}
}

// render renders a template over the columns that were given, and no others.
func (q *request) render(d template.Dialect) answer {
	t, err := template.CompileWith(*q.Template, template.Options{Dialect: d})
	if err != nil {
		return answer{Error: err.Error(), Phase: "parse"}
	}
	var whole any = map[string]any{}
	if len(q.Context) > 0 {
		if err := unmarshal(q.Context, &whole); err != nil {
			return answer{Error: err.Error(), Phase: "parse"}
		}
		whole = unmark(whole)
	}
	if columns, ok := whole.(map[string]any); ok {
		given, _ := (&request{Payload: q.Payload, PayloadB64: q.PayloadB64}).columns()
		maps.Copy(columns, given)
		if q.Topic != "" {
			columns["topic"] = q.Topic
		}
	}
	text, err := t.Append(nil, rule.Vars(whole))
	if err != nil {
		return answer{Error: err.Error(), Phase: "runtime"}
	}
	return answer{Text: json.RawMessage(appendMarked(nil, string(text)))}
}

// unmarshal is json.Unmarshal that keeps numbers as they are written.
func unmarshal(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// unmark replaces the marks for what JSON has no form for.
func unmark(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = unmark(v[i])
		}
	case map[string]any:
		if len(v) == 1 {
			if x, ok := marked(v); ok {
				return x
			}
		}
		for k := range v {
			v[k] = unmark(v[k])
		}
	}
	return v
}

func marked(v map[string]any) (any, bool) {
	if _, ok := v["$undef"]; ok {
		return rule.Undefined{}, true
	}
	if s, ok := v["$b64"].(string); ok {
		b, err := base64.StdEncoding.DecodeString(s)
		return string(b), err == nil
	}
	if s, ok := v["$bits"].(string); ok {
		packed := make([]byte, (len(s)+7)/8)
		for i := range s {
			packed[i/8] |= (s[i] & 1) << (7 - i%8)
		}
		if len(s)%8 == 0 {
			return string(packed), true
		}
		return rule.BitString{Bytes: string(packed), Bits: len(s)}, true
	}
	return nil, false
}

// appendMarked appends a value of a row as JSON with the marks of request.
func appendMarked(dst []byte, v any) []byte {
	switch v := v.(type) {
	case rule.Undefined:
		return append(dst, `{"$undef":true}`...)
	case rule.BitString:
		dst = append(dst, `{"$bits":"`...)
		for i := range v.Bits {
			dst = append(dst, '0'+v.Bytes[i/8]>>(7-i%8)&1)
		}
		return append(dst, `"}`...)
	case string:
		if !utf8.ValidString(v) {
			return fmt.Appendf(dst, `{"$b64":%q}`, base64.StdEncoding.EncodeToString([]byte(v)))
		}
		return value.AppendQuoted(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendMarked(dst, x)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range slices.SortedFunc(maps.Keys(v), strings.Compare) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(value.AppendQuoted(dst, k), ':')
			dst = appendMarked(dst, v[k])
		}
		return append(dst, '}')
	default:
		x, err := (*value.Arena)(nil).FromAny(v)
		if err != nil {
			return append(dst, "null"...)
		}
		return value.AppendJSON(dst, x)
	}
}
