package sparkplug_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/rule/sparkplug"
)

func varint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func content(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func text(b []byte, number protowire.Number, v string) []byte { return content(b, number, []byte(v)) }

func fixed32(b []byte, number protowire.Number, v float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, number, protowire.Fixed32Type), math.Float32bits(v))
}

func fixed64(b []byte, number protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), math.Float64bits(v))
}

// metric returns a metric with a name, a datatype and whatever rest says.
func metric(name string, datatype uint64, rest func(b []byte) []byte) []byte {
	return rest(varint(text(nil, 1, name), 4, datatype))
}

func decode(t *testing.T, payload []byte) string {
	t.Helper()
	m, err := sparkplug.Decode(payload)
	require.NoError(t, err)
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return string(b)
}

func TestPayload(t *testing.T) {
	t.Parallel()
	b := varint(nil, 1, 1678094561521)
	b = varint(b, 3, 255)
	b = text(b, 4, "id-1")
	b = content(b, 5, []byte{0, 255})
	require.JSONEq(t, `{"timestamp":1678094561521,"seq":255,"uuid":"id-1","body":"AP8="}`, decode(t, b))
	require.JSONEq(t, `{}`, decode(t, nil))
}

func TestValuesOfMetrics(t *testing.T) {
	t.Parallel()
	minus5 := int64(-5)
	for name, c := range map[string]struct {
		datatype uint64
		put      func(b []byte) []byte
		want     string
	}{
		"int8":    {1, func(b []byte) []byte { return varint(b, 10, uint64(uint8(minus5&0xff))) }, `"int_value":251,"value":-5`},
		"int32":   {3, func(b []byte) []byte { return varint(b, 10, uint64(uint32(minus5&0xffffffff))) }, `"int_value":4294967291,"value":-5`},
		"int16":   {2, func(b []byte) []byte { return varint(b, 10, uint64(minus5)) }, `"int_value":4294967291,"value":-5`},
		"int64":   {4, func(b []byte) []byte { return varint(b, 11, uint64(minus5)) }, `"long_value":18446744073709551611,"value":-5`},
		"uint64":  {8, func(b []byte) []byte { return varint(b, 11, math.MaxUint64) }, `"long_value":18446744073709551615,"value":18446744073709551615`},
		"float":   {9, func(b []byte) []byte { return fixed32(b, 12, 1.5) }, `"float_value":1.5,"value":1.5`},
		"double":  {10, func(b []byte) []byte { return fixed64(b, 13, 21.75) }, `"double_value":21.75,"value":21.75`},
		"nan":     {10, func(b []byte) []byte { return fixed64(b, 13, math.NaN()) }, `"double_value":"NaN","value":"NaN"`},
		"boolean": {11, func(b []byte) []byte { return varint(b, 14, 1) }, `"boolean_value":true,"value":true`},
		"string":  {12, func(b []byte) []byte { return text(b, 15, "on") }, `"string_value":"on","value":"on"`},
		"bytes":   {17, func(b []byte) []byte { return content(b, 16, []byte("x")) }, `"bytes_value":"eA==","value":"eA=="`},
		"null":    {3, func(b []byte) []byte { return varint(b, 7, 1) }, `"is_null":true,"value":null`},
		"last":    {3, func(b []byte) []byte { return text(varint(b, 10, 1), 15, "x") }, `"string_value":"x","value":"x"`},
		"none":    {3, func(b []byte) []byte { return b }, ``},
	} {
		comma := ","
		if c.want == "" {
			comma = ""
		}
		want := fmt.Sprintf(`{"metrics":[{"name":%q,"datatype":%d%s%s}]}`, name, c.datatype, comma, c.want)
		require.JSONEq(t, want, decode(t, content(nil, 2, metric(name, c.datatype, c.put))), name)
	}
}

func TestNestedParts(t *testing.T) {
	t.Parallel()
	property := varint(varint(nil, 1, 3), 3, 7)
	properties := content(text(nil, 1, "quality"), 2, property)
	row := content(content(nil, 1, varint(nil, 1, 4)), 1, text(nil, 6, "x"))
	dataset := varint(nil, 1, 2)
	dataset = text(text(dataset, 2, "a"), 2, "b")
	dataset = content(dataset, 3, []byte{7, 12}) // packed
	dataset = content(dataset, 4, row)
	template := content(text(nil, 1, "v1"), 2, metric("inner", 11, func(b []byte) []byte { return varint(b, 14, 0) }))
	payload := content(nil, 2, metric("m", 16, func(b []byte) []byte {
		return content(content(content(b, 9, properties), 8, text(nil, 2, "text/plain")), 17, dataset)
	}))
	payload = content(payload, 2, metric("t", 19, func(b []byte) []byte { return content(b, 18, template) }))
	const (
		data   = `{"num_of_columns":2,"columns":["a","b"],"types":[7,12],"rows":[{"elements":[{"int_value":4},{"string_value":"x"}]}]}`
		inside = `{"version":"v1","metrics":[{"name":"inner","datatype":11,"boolean_value":false,"value":false}]}`
	)
	require.JSONEq(t, `{"metrics":[
		{"name":"m","datatype":16,"metadata":{"content_type":"text/plain"},"properties":{"keys":["quality"],"values":[{"type":3,"int_value":7}]},
		 "dataset_value":`+data+`,"value":`+data+`},
		{"name":"t","datatype":19,"template_value":`+inside+`,"value":`+inside+`}]}`, decode(t, payload))
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, `{"seq":1}`, decode(t, varint(text(varint(nil, 90, 5), 91, "x"), 3, 1)))
}

func TestWhatIsNoPayloadIsAnError(t *testing.T) {
	t.Parallel()
	deep := text(nil, 1, "bottom")
	for range sparkplug.MaxDepth {
		deep = content(nil, 2, content(nil, 18, deep))
	}
	for want, b := range map[string][]byte{
		"unexpected EOF":                 {0x12, 5, 1},
		"field 2":                        {0x12, 0xff},
		"field seq has the wire type 2":  text(nil, 3, "x"),
		"field name has the wire type 0": content(nil, 2, varint(nil, 1, 1)),
		"nest too deeply":                deep,
	} {
		_, err := sparkplug.Decode(b)
		require.ErrorContains(t, err, want)
	}
	_, err := sparkplug.Decode(deep)
	require.ErrorIs(t, err, sparkplug.ErrDepth)
}

func FuzzDecode(f *testing.F) {
	f.Add(content(varint(nil, 3, 1), 2, metric("m", 3, func(b []byte) []byte { return varint(b, 10, 1) })))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := sparkplug.Decode(b)
		if err != nil {
			return
		}
		_, err = json.Marshal(m)
		require.NoError(t, err)
	})
}

// TestBytesAreText: bytes that are no UTF-8 survive in the JSON of a row.
func TestBytesAreText(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{sparkplug.Function()}})
	require.NoError(t, err)
	payload := content(nil, 5, []byte{0xff, 0})
	payload = content(payload, 2, metric("m", 17, func(b []byte) []byte { return content(b, 16, []byte{0xfe, 1}) }))
	result, err := rule.Test(rule.TestInput{
		Engine: engine, Columns: map[string]any{"payload": payload},
		SQL: `SELECT sparkplug_decode(payload) AS p, p.body AS body, p.metrics[1].value AS v, p.metrics[1].bytes_value AS b, bin2hexstr(base64_decode(b)) AS hex FROM "t/#"`,
	})
	require.NoError(t, err)
	require.Equal(t, "/wA=", result.Rows[0]["body"])
	require.Equal(t, "/gE=", result.Rows[0]["v"])
	require.Equal(t, "/gE=", result.Rows[0]["b"])
	require.Equal(t, "FE01", result.Rows[0]["hex"])
}

func ExampleFunction() {
	engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{sparkplug.Function()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := rule.New(rule.Config{
		Engine:  engine,
		SQL:     `FOREACH sparkplug_decode(payload) AS p, p.metrics AS m DO m.name AS name, m.value AS value FROM "spBv1.0/#"`,
		Actions: []rule.Action{{Sink: "kinesis", Key: "${name}"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	payload := content(nil, 2, metric("temperature", 10, func(b []byte) []byte { return fixed64(b, 13, 21.5) }))
	payload = content(payload, 2, metric("offset", 3, func(b []byte) []byte { return varint(b, 10, math.MaxUint32) }))
	var out bridge.Out
	if err := r.Apply(&out, &bridge.Message{Topic: "spBv1.0/g/DDATA/n/d", Payload: payload}); err != nil {
		fmt.Println(err)
	}
	for _, rec := range out.Records() {
		fmt.Printf("%s\n", rec.Data)
	}
	// Output:
	// {"name":"temperature","value":21.5}
	// {"name":"offset","value":-1}
}
