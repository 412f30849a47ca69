package rule_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

func TestMain(m *testing.M) {
	// The clock of regexp2 stops by itself, a second after the last match.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

func newRule(t *testing.T, sql string, actions ...rule.Action) *rule.Rule {
	t.Helper()
	r, err := rule.New(rule.Config{Name: "r1", SQL: sql, Actions: actions})
	require.NoError(t, err)
	return r
}

func TestActionMakesRecords(t *testing.T) {
	t.Parallel()
	r := newRule(t, `FOREACH payload.a AS x DO x, topic, clientid AS c FROM "t/#"`,
		rule.Action{
			Sink: "one", Dest: "stream", Key: "${c}-${x}", HashKey: "${x}", Data: "${topic}:${x}:${no}",
			Attrs: map[string]string{"qos": "1", "b": "${x}"}, Optional: true,
		},
		rule.Action{Sink: "two", Dest: "s-${x}"})
	var out bridge.Out
	m := message(`{"a":[1,"z"]}`)
	require.NoError(t, r.Apply(&out, m))
	m.Payload = []byte("overwritten by the source")
	require.Equal(t, []bridge.Record{
		{
			Sink: "one", Dest: "stream", Key: []byte("device-17-1"), HashKey: []byte("1"), Data: []byte("t/kitchen/1:1:undefined"),
			Attrs: []bridge.Attr{{Name: "b", Value: []byte("1")}, {Name: "qos", Value: []byte("1")}}, Optional: true,
		},
		{Sink: "two", Dest: "s-1", Data: []byte(`{"c":"device-17","topic":"t/kitchen/1","x":1}`)},
		{
			Sink: "one", Dest: "stream", Key: []byte("device-17-z"), HashKey: []byte("z"), Data: []byte("t/kitchen/1:z:undefined"),
			Attrs: []bridge.Attr{{Name: "b", Value: []byte("z")}, {Name: "qos", Value: []byte("1")}}, Optional: true,
		},
		{Sink: "two", Dest: "s-z", Data: []byte(`{"c":"device-17","topic":"t/kitchen/1","x":"z"}`)},
	}, out.Records())
}

func TestKeyPolicies(t *testing.T) {
	t.Parallel()
	keys := func(policy rule.KeyPolicy) (first, second string, err error) {
		r := newRule(t, `SELECT payload.k AS k FROM "t/#"`, rule.Action{Key: "${k}", UndefinedKey: policy})
		var out bridge.Out
		for range 2 {
			if err := r.Apply(&out, message(`{}`)); err != nil {
				return "", "", err
			}
		}
		return string(out.Records()[0].Key), string(out.Records()[1].Key), nil
	}
	_, _, err := keys(rule.KeyError)
	require.ErrorIs(t, err, rule.ErrUndefinedKey)
	require.EqualError(t, err, "rule r1: partition key: the partition key is undefined: template \"${k}\": ${k} is undefined")

	a, b, err := keys(rule.KeyConstant)
	require.NoError(t, err)
	require.Equal(t, []string{"undefined", "undefined"}, []string{a, b})

	a, b, err = keys(rule.KeyRandom)
	require.NoError(t, err)
	require.NotEqual(t, a, b)

	a, b, err = keys(rule.KeyTopic)
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Len(t, a, 16)
}

func TestTemplatesOfStar(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT * FROM "t/#"`, rule.Action{
		Key: "${payload.id}", Data: "${clientid} ${payload.location.floor} ${payload.none} ${flags.retain} ${extra.x} ${missing}", UndefinedKey: rule.KeyConstant,
	})
	var out bridge.Out
	m := message(reading)
	m.Columns = map[string]any{"extra": map[string]any{"x": 5}}
	require.NoError(t, r.Apply(&out, m))
	require.Equal(t, "sensor-000017", string(out.Records()[0].Key))
	require.Equal(t, "device-17 3 undefined false 5 undefined", string(out.Records()[0].Data))

	// A payload that is no JSON is none of the rule's business.
	require.NoError(t, r.Apply(&out, message("plain")))
	require.Equal(t, "undefined", string(out.Records()[1].Key))
}

func TestStarIsTheWholeMessage(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{Node: "n1", Now: func() time.Time { return time.UnixMilli(42) }})
	require.NoError(t, err)
	r, err := rule.New(rule.Config{Name: "r1", SQL: `SELECT * FROM "t/#"`, Actions: []rule.Action{{}}, Engine: engine})
	require.NoError(t, err)
	m := message("p\xff\x01")
	m.PeerName, m.Retain, m.Username = "", true, ""
	expiry := uint32(7)
	m.Props = &bridge.Properties{MessageExpiry: &expiry, ContentType: "x", User: []bridge.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}}
	var out bridge.Out
	require.NoError(t, r.Apply(&out, m))
	var want strings.Builder
	want.WriteString(`{"clientid":"device-17","event":"message.publish","flags":{"dup":false,"retain":true},"id":"`)
	got := string(out.Records()[0].Data)
	require.True(t, strings.HasPrefix(got, want.String()), got)
	_, rest, _ := strings.Cut(got, `"metadata"`)
	require.Equal(t, `:{"namespace":"global","rule_id":"r1"},"node":"n1","payload":"p`+"\ufffd"+`\u0001","peerhost":"10.0.0.7",`+
		`"pub_props":{"Content-Type":"x","Message-Expiry-Interval":7,"User-Property":{"k":"2"},"User-Property-Pairs":[{"key":"k","value":"1"},{"key":"k","value":"2"}]},`+
		`"publish_received_at":1700000000000,"qos":1,"timestamp":42,"topic":"t/kitchen/1"}`, rest)
}

func TestEventColumns(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT *, reason AS why, qos AS q FROM "$events/client_disconnected"`, rule.Action{Data: "${event} ${clientid} ${why} ${q} ${topic}"})
	require.Equal(t, []string{"$events/client/disconnected"}, r.Filters())
	var out bridge.Out
	require.NoError(t, r.Apply(&out, &bridge.Message{
		Event: "$events/client/disconnected", ClientID: "c", Columns: map[string]any{"reason": "normal"},
	}))
	require.Equal(t, "client.disconnected c normal undefined undefined", string(out.Records()[0].Data))
}

func TestSelectedColumnIsThereThoughUnknown(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT username, payload.none AS none FROM "t/#"`, rule.Action{})
	var out bridge.Out
	m := message("{}")
	m.Username = ""
	require.NoError(t, r.Apply(&out, m))
	require.JSONEq(t, `{"none":"undefined","username":"undefined"}`, string(out.Records()[0].Data))
}

func TestIngressColumns(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT dup, retain, qos, message_received_at AS at, server, flags, payload FROM "$sources/mqtt:in"`, rule.Action{})
	var out bridge.Out
	m := message("x")
	m.Event, m.Retain, m.Server = "$sources/mqtt:in", true, "broker:1883"
	require.NoError(t, r.Apply(&out, m))
	require.JSONEq(t, `{"at":1700000000000,"dup":false,"flags":"undefined","payload":"x","qos":1,"retain":true,"server":"broker:1883"}`, string(out.Records()[0].Data))
}

func TestErrorsNameThePart(t *testing.T) {
	t.Parallel()
	var out bridge.Out
	for sql, want := range map[string]string{
		`SELECT 1 + topic * 2 AS x FROM t`:                      "rule r1: SELECT 1 + topic * 2: cannot apply",
		`SELECT topic FROM t WHERE payload.temp > topic`:        "rule r1: WHERE payload.temp > topic: ",
		`FOREACH [1] AS i DO i - topic AS x FROM t`:             "rule r1: DO i - topic: ",
		`FOREACH [1] AS i INCASE i < topic FROM t`:              "rule r1: INCASE i < topic: ",
		`SELECT payload.temp[1..2] AS a, payload.b AS b FROM t`: "rule r1: SELECT payload.temp[1..2]: only a list has slices",
	} {
		err := newRule(t, sql).Apply(&out, message(reading))
		require.ErrorContains(t, err, want)
		var eval *rule.EvalError
		require.ErrorAs(t, err, &eval)
		require.Equal(t, "r1", eval.Rule)
	}
}

func TestNewReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := rule.New(rule.Config{Name: "bad", SQL: `SELECT nosuch(1), 1 - 'a' FROM "t/#/x" WHERE flag`})
	require.Error(t, err)
	var all []string
	for _, e := range rule.SyntaxErrors(err) {
		all = append(all, e.Summary())
	}
	require.Len(t, all, 4, all)
	require.ErrorContains(t, err, "rule bad: ")

	_, err = rule.New(rule.Config{SQL: "SELECT * FROM t", Actions: []rule.Action{{}, {UndefinedKey: 9}, {Dialect: 7}}})
	require.ErrorContains(t, err, "Actions[1]: UndefinedKey: there is no policy 9")
	require.ErrorContains(t, err, "Actions[2]: ")
	require.Error(t, rule.Config{}.Validate())
}

// TestLongStatements compiles the longest statements of their kind: time and memory
// must not grow with the square of the length.
func TestLongStatements(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT 1" + strings.Repeat("+1", 30_000) + " AS x FROM t",
		"SELECT topic FROM t WHERE true" + strings.Repeat(" AND qos=1", 6_000),
		"SELECT qos" + strings.Repeat("+qos", 15_000) + " AS x FROM t",
		"SELECT -" + strings.Repeat("(", 150) + "qos" + strings.Repeat(")", 150) + " AS x FROM t",
	} {
		r := newRule(t, sql, rule.Action{})
		require.NoError(t, r.Apply(new(bridge.Out), message("{}")))
		require.NotEmpty(t, r.Explain())
	}
	_, err := rule.New(rule.Config{SQL: "SELECT f()" + strings.Repeat(",f()", 15_000) + " FROM t"})
	require.Len(t, rule.SyntaxErrors(err), 20)
}

func TestLateChecks(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{LateChecks: true})
	require.NoError(t, err)
	for _, sql := range []string{
		`SELECT nosuch(1) AS x FROM t WHERE true`,
		`SELECT topic FROM t WHERE topic = 'x' OR flag`,
		`SELECT 1 / 0 AS x FROM t`,
		`SELECT topic FROM t WHERE 'true'`,
	} {
		r, err := rule.New(rule.Config{SQL: sql, Engine: engine})
		require.NoError(t, err, sql)
		require.Error(t, r.Apply(new(bridge.Out), message("{}")), sql)
	}
	// What is not reached does no harm.
	r, err := rule.New(rule.Config{SQL: `SELECT topic FROM t WHERE true OR flag`, Engine: engine})
	require.NoError(t, err)
	require.NoError(t, r.Apply(new(bridge.Out), message("{}")))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{Limits: rule.Limits{Rows: 3, Memory: 1000}})
	require.NoError(t, err)
	r, err := rule.New(rule.Config{SQL: `FOREACH payload AS x DO x FROM t`, Engine: engine})
	require.NoError(t, err)
	require.NoError(t, r.Apply(new(bridge.Out), message("[1,2,3]")))
	require.ErrorIs(t, r.Apply(new(bridge.Out), message("[1,2,3,4]")), rule.ErrTooManyRows)

	r, err = rule.New(rule.Config{SQL: `SELECT [payload.a, payload.b] AS x, x + payload.a AS y, y + y AS z, z + z AS zz FROM t`, Engine: engine})
	require.NoError(t, err)
	require.NoError(t, r.Apply(new(bridge.Out), message(`{"a":"x","b":"y"}`)))
	require.ErrorContains(t, r.Apply(new(bridge.Out), message(`{"a":"`+strings.Repeat("x", 500)+`"}`)), "the limit is 1000 bytes")

	// Lists that share their elements are as large as they look.
	fields := "payload AS f0"
	for i := range 40 {
		fields += fmt.Sprintf(", [f%d, f%d] AS f%d", i, i, i+1)
	}
	require.ErrorContains(t, newRule(t, "SELECT "+fields+" FROM t", rule.Action{}).Apply(new(bridge.Out), message(`{}`)), "the limit is")
	fields = "1 AS a.x"
	for i := range 40 {
		fields += fmt.Sprintf(", a AS a.y%d", i)
	}
	require.ErrorContains(t, newRule(t, "SELECT "+fields+" FROM t", rule.Action{}).Apply(new(bridge.Out), message(`{}`)), "the limit is")

	require.ErrorContains(t, rule.EngineConfig{Limits: rule.Limits{Rows: -1}}.Validate(), "Limits.Rows")
}

func TestEach(t *testing.T) {
	t.Parallel()
	r := newRule(t, `FOREACH payload AS x DO x, x.y AS y, topic FROM "t/#"`)
	var got []string
	err := r.Each(message(`[{"y":1},2]`), func(row *rule.Row) error {
		y, ok := row.Get("y")
		_, none := row.Get("none")
		got = append(got, fmt.Sprint(y, ok, none, " ", string(row.AppendJSON(nil))))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		`1 true false {"topic":"t/kitchen/1","x":{"y":1},"y":1}`,
		`{} true false {"topic":"t/kitchen/1","x":2,"y":"undefined"}`,
	}, got)
	stop := errors.New("stop")
	require.ErrorIs(t, r.Each(message(`[1,2]`), func(*rule.Row) error { return stop }), stop)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT payload.id AS id, clientid + payload.id AS key FROM "t/#"`, rule.Action{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := message(fmt.Sprintf(`{"id":"%d"}`, i))
			for range 200 {
				var out bridge.Out
				if err := r.Apply(&out, m); err != nil {
					t.Error(err)
					return
				}
				if got, want := string(out.Records()[0].Data), fmt.Sprintf(`{"id":"%d","key":"device-17%d"}`, i, i); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDialects(t *testing.T) {
	t.Parallel()
	r := newRule(t, `SELECT payload FROM "t/#"`,
		rule.Action{Data: "${payload.a.b}"}, rule.Action{Data: "${payload.a.b} ${$}{x}", Dialect: template.Republish})
	var out bridge.Out
	require.NoError(t, r.Apply(&out, message(`{"a":"{\"b\":1}"}`)))
	require.Equal(t, "1", string(out.Records()[0].Data))
	require.Equal(t, "undefined ${x}", string(out.Records()[1].Data))
}
