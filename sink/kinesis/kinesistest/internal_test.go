package kinesistest

import (
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestHashKeyIsABigNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		want := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(h.hi), 64), new(big.Int).SetUint64(h.lo))
		require.Equal(t, want.String(), h.String())
		got, ok := parseHashKey(want.String())
		require.True(t, ok)
		require.Equal(t, h, got)
		require.Equal(t, h, h.next().prev())
	})
	for s, ok := range map[string]bool{
		"0": true, "340282366920938463463374607431768211455": true, "340282366920938463463374607431768211456": false,
		"3402823669209384634633746074317682114550": false, "": false, "-1": false, "1e3": false,
	} {
		_, got := parseHashKey(s)
		require.Equal(t, ok, got, s)
	}
}

func TestMiddle(t *testing.T) {
	t.Parallel()
	require.Equal(t, "170141183460469231731687303715884105728", hashKey{}.middle(maxHashKey).String())
	rapid.Check(t, func(t *rapid.T) {
		from := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		to := hashKey{rapid.Uint64Min(from.hi).Draw(t, "hi2"), rapid.Uint64Min(from.lo).Draw(t, "lo2")}
		if from == to {
			return
		}
		m := from.middle(to)
		require.Negative(t, from.compare(m))
		require.LessOrEqual(t, m.compare(to), 0)
	})
}

func TestSequenceNumbers(t *testing.T) {
	t.Parallel()
	draw := rapid.Custom(func(t *rapid.T) sequence {
		return sequence{
			created: rapid.Int64Range(0, 1<<36-2).Draw(t, "created"), index: rapid.Uint64().Draw(t, "index"),
			at: rapid.Int64Range(0, 1<<36-1).Draw(t, "at"), shard: rapid.Uint32().Draw(t, "shard"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a := draw.Draw(t, "a")
		text := a.String()
		require.Len(t, text, sequenceDigits)
		got, err := parseSequence(text)
		require.NoError(t, err)
		require.Equal(t, a, got)
		b := draw.Draw(t, "b")
		b.created, b.shard = a.created, a.shard
		if a.index != b.index {
			require.Equal(t, a.index < b.index, text < b.String(), "numbers of a shard sort as its records")
		}
		b.created = a.created + 1
		require.Less(t, text, b.String(), "children sort after parents")
	})
	for _, bad := range []string{"", "1", strings.Repeat("9", 56), strings.Repeat("x", 56), strings.Repeat("1", 57)} {
		_, err := parseSequence(bad)
		require.Error(t, err)
	}
}

// TestSequenceNumberOfTheService takes one of AWS apart.
func TestSequenceNumberOfTheService(t *testing.T) {
	t.Parallel()
	q, err := parseSequence("49543463076548007577105092703039560359975228518395019266")
	require.NoError(t, err)
	require.Zero(t, q.shard)
	require.Equal(t, 2014, time.Unix(q.created, 0).UTC().Year())
}

func TestRecordLogTrims(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, model := newRecordLog(), []stored(nil)
		for i := range rapid.IntRange(0, 5000).Draw(t, "n") {
			r := stored{arrival: int64(i), data: make([]byte, i%7)}
			require.EqualValues(t, i+1, l.append(r))
			model = append(model, r)
		}
		before := rapid.Int64Range(0, 6000).Draw(t, "before")
		records := rapid.IntRange(0, 6000).Draw(t, "records")
		l.trim(before, records, 0)
		model = model[min(int(before), len(model)):]
		if records > 0 && len(model) > records {
			model = model[len(model)-records:]
		}
		require.Equal(t, len(model), l.len())
		var bytes int64
		for i, r := range model {
			require.Equal(t, r, *l.at(l.first + uint64(i)))
			bytes += r.size()
		}
		require.Equal(t, bytes, l.bytes)
		at := rapid.Int64Range(0, 6000).Draw(t, "at")
		want := slices.IndexFunc(model, func(r stored) bool { return r.arrival >= at })
		if want < 0 {
			want = len(model)
		}
		require.Equal(t, l.first+uint64(want), l.since(at))
	})
}

func TestIteratorsSurviveTheirText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		it := iterator{
			issued: rapid.Int64().Draw(t, "issued"), created: rapid.Int64().Draw(t, "created"), index: rapid.Uint64().Draw(t, "index"),
			shard: rapid.Uint32().Draw(t, "shard"), stream: rapid.StringMatching(`[a-zA-Z0-9_.-]{1,128}`).Draw(t, "stream"),
		}
		text := it.String()
		require.LessOrEqual(t, len(text), 512)
		got, ok := parseIterator(text)
		require.True(t, ok)
		require.Equal(t, it, got)
		_, ok = parseIterator(text[:len(text)-4])
		require.False(t, ok)
	})
}

// FuzzScanPutRecords compares the fast decoder with the general one: what it
// accepts must come out the same.
func FuzzScanPutRecords(f *testing.F) {
	for _, s := range []string{
		`{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"k"}]}`,
		`{"StreamARN":"a","Records":[{"Data":"","PartitionKey":"ü","ExplicitHashKey":"1"},{"PartitionKey":"k"}] }`,
		` {"Records" : [ {"Data":"AAAA\n\n\n\n"} ] }`, `{"Records":[{"Data":"AB==","PartitionKey":"\u0041"}]}`,
		`{"Records":[{"Data":"AA==","Data":"AAAA"}]}`, `{"Records":[]}`, `{}`, `{"Records":[{}],}`, `{"Records":[{"Data":"AAA="}]}x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		fast, ok := scanPutRecords(body)
		if !ok {
			return
		}
		slow := &kinesis.PutRecordsInput{}
		require.NoError(t, codecFor(typeJSON).decode(body, slow))
		require.Equal(t, slow, fast)
	})
}

// FuzzDecode feeds both codecs anything.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1.5}}`), false)
	raw, err := cbor.Marshal(map[string]any{"StreamName": "s", "MaxResults": 3, "ShardFilter": map[string]any{"Timestamp": timeCBOR(time.Unix(5, 0))}})
	require.NoError(f, err)
	f.Add(raw, true)
	f.Fuzz(func(t *testing.T, body []byte, binary bool) {
		contentType := typeJSON
		if binary {
			contentType = typeCBOR
		}
		in := &kinesis.ListShardsInput{}
		if err := codecFor(contentType).decode(body, in); err != nil {
			return
		}
		out, err := codecFor(contentType).encode(in)
		require.NoError(t, err)
		if out == nil {
			return
		}
		again := &kinesis.ListShardsInput{}
		require.NoError(t, codecFor(contentType).decode(out, again))
		if in.ShardFilter != nil { // Absent and empty are one for enums.
			again.ShardFilter, in.ShardFilter = nil, nil
		}
		if in.StreamCreationTimestamp != nil {
			again.StreamCreationTimestamp, in.StreamCreationTimestamp = nil, nil // Of years no service will see.
		}
		require.Equal(t, in, again)
	})
}

func FuzzParseFrame(f *testing.F) {
	f.Add(appendFrame(nil, &stored{arrival: 5, key: "k", hash: "1", data: []byte("d")}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, n, ok := parseFrame(raw)
		if !ok {
			return
		}
		again, m, ok := parseFrame(appendFrame(nil, &r))
		require.True(t, ok)
		require.LessOrEqual(t, m, n) // Lengths may be written with more bytes than needed.
		require.Equal(t, r, again)
	})
}

func TestReplyOfPutRecordsAsJSON(t *testing.T) {
	t.Parallel()
	r := &putReply{failed: 1, encryption: "KMS", results: []putResult{
		{shard: shardID(1), seq: sequence{created: 1, index: 2, at: 3, shard: 1}}, {code: "Code", message: "a \"message\"\n"},
	}}
	var fast, slow any
	require.NoError(t, json.Unmarshal(r.appendJSON(nil), &fast))
	raw, err := codecFor(typeJSON).encode(r.output())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &slow))
	require.Equal(t, slow, fast)
}

func TestSerializationErrors(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`[]`:                                   "",
		`{"StreamName":1}`:                     "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to a String",
		`{"StreamName":true}`:                  "class java.lang.Boolean can not be converted to a String",
		`{"StreamName":[]}`:                    "Start of list found where not expected",
		`{"StreamName":{}}`:                    "Start of structure or map found where not expected.",
		`{"Records":{}}`:                       "Expected list or null",
		`{"Records":[{"Data":"abc"}]}`:         "Base64 encoded length is expected a multiple of 4 bytes but found: 3",
		`{"Records":[{"Data":"!!!!"}]}`:        "Invalid Base64 character",
		`{"DryRun":"yes"}`:                     "class java.lang.String can not be converted to a Boolean",
		`{"StreamName":"s"} trailing`:          "",
		`{"Records":[{"PartitionKey":["k"]}]}`: "Start of list found where not expected",
	} {
		err := codecFor(typeJSON).decode([]byte(body), &kinesis.PutRecordsInput{})
		var e *Error
		require.ErrorAs(t, err, &e, body)
		require.Equal(t, CodeSerialization, e.Code)
		require.Contains(t, e.Message, want)
	}
	in := &kinesis.PutRecordsInput{}
	require.NoError(t, codecFor(typeJSON).decode([]byte(`{"StreamName":null,"Nobody":"knows","streamname":"s"}`), in))
	require.True(t, reflect.ValueOf(*in).IsZero())
}
