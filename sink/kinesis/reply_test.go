package kinesis

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

func TestStoredAll(t *testing.T) {
	t.Parallel()
	const one = `{"SequenceNumber":"1","ShardId":"shardId-000000000000"}`
	for reply, want := range map[string]int{ // -1: nothing may be taken for stored
		`{"FailedRecordCount":0,"Records":[]}`:            0,
		`{"FailedRecordCount":0,"Records":[` + one + `]}`: 1,
		`{ "Records" : [ ` + one + ` , ` + one + " ] ,\n\"EncryptionType\":\"NONE\", \"FailedRecordCount\" : 0 } \r\n": 2,
		`{"FailedRecordCount":0,"Records":[{"ErrorCode":null,"ErrorMessage":null,"SequenceNumber":"1"}]}`:              1,

		`{"FailedRecordCount":1,"Records":[` + one + `]}`:                                          -1,
		`{"FailedRecordCount":01,"Records":[` + one + `]}`:                                         -1,
		`{"FailedRecordCount":0.5,"Records":[` + one + `]}`:                                        -1,
		`{"FailedRecordCount":0,"FailedRecordCount":1,"Records":[` + one + `]}`:                    -1,
		`{"FailedRecordCount":0,"FailedRecordCount":0,"Records":[` + one + `]}`:                    -1,
		`{"Records":[` + one + `]}`:                                                                -1,
		`{"FailedRecordCount":0}`:                                                                  -1,
		`{"FailedRecordCount":0,"Records":[` + one + `]`:                                           -1,
		`{"FailedRecordCount":0,"Records":[` + one:                                                 -1,
		`{"FailedRecordCount":0,"Records":[` + one + `]}{}`:                                        -1,
		`{"FailedRecordCount":0,"Records":[` + one + `],"Records":[` + one + `]}`:                  -1,
		`{"FailedRecordCount":0,"Records":[{"ErrorCode":"InternalFailure"}]}`:                      -1,
		`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ErrorCode":"InternalFailure"}]}`: -1,
		`{"FailedRecordCount":0,"Records":[{"SequenceNumber":""}]}`:                                -1,
		`{"FailedRecordCount":0,"Records":[{"SequenceNumber":null}]}`:                              -1,
		`{"FailedRecordCount":0,"Records":[{"ShardId":"shardId-000000000000"}]}`:                   -1,
		`{"FailedRecordCount":0,"Records":[null]}`:                                                 -1,
		`{"FailedRecordCount":0,"Records":null}`:                                                   -1,
		`{"Message":"\"FailedRecordCount\":0"}`:                                                    -1,
		`null`:                                                                                     -1, `[]`: -1, `<html>`: -1, ``: -1,
	} {
		for n := range 3 {
			require.Equal(t, n == want, storedAll([]byte(reply), n, nil), "%d: %s", n, reply)
		}
	}
}

// TestStoredAllOfCutReplies takes no beginning of a reply for the whole.
func TestStoredAllOfCutReplies(t *testing.T) {
	t.Parallel()
	reply := []byte(results(3, nil).body)
	require.True(t, storedAll(reply, 3, nil))
	for n := range reply {
		require.False(t, storedAll(reply[:n], 3, nil), "%s", reply[:n])
	}
}

// FuzzStoredAll compares with encoding/json: what is taken for stored is valid
// and says so.
func FuzzStoredAll(f *testing.F) {
	f.Add([]byte(results(2, nil).body), 2)
	f.Add([]byte(results(2, map[int]string{1: "InternalFailure"}).body), 2)
	f.Fuzz(func(t *testing.T, reply []byte, n int) {
		if n < 0 || n > 1000 {
			return
		}
		places := make([]place, n)
		if ok := storedAll(reply, n, places); ok != storedAll(reply, n, nil) || !ok {
			require.False(t, ok)
			return
		}
		var out struct {
			FailedRecordCount *int
			Records           []struct {
				SequenceNumber, ErrorCode *string
				ShardId                   string
			}
		}
		if err := json.Unmarshal(reply, &out); err != nil {
			// Control characters are the one thing that is not looked at.
			require.ErrorContains(t, err, "in string literal", "%q", reply)
			return
		}
		require.NotNil(t, out.FailedRecordCount)
		require.Zero(t, *out.FailedRecordCount)
		require.Len(t, out.Records, n)
		for i, r := range out.Records {
			require.NotNil(t, r.SequenceNumber)
			require.Nil(t, r.ErrorCode)
			if utf8.Valid(reply) { // else the decoder puts something in its place
				require.Equal(t, place{r.ShardId, *r.SequenceNumber}, places[i])
			}
		}
	})
}

// TestRepliesThatCannotBeTrusted are replies with status 200 that do not say of
// each record that it was stored. Nothing may be counted as stored that was not
// said to be.
func TestRepliesThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	const stored = `{"SequenceNumber":"1","ShardId":"shardId-000000000000"}`
	const failed = `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard shardId-000000000001"}`
	ambiguous, throttled := bridge.ErrAmbiguous, bridge.ErrThrottled
	for name, tc := range map[string]struct {
		body string
		want [3]error // of each record, nil: stored
	}{
		"count 0, but an error":         {`{"FailedRecordCount":0,"Records":[` + stored + `,` + failed + `,` + stored + `]}`, [3]error{nil, throttled, nil}},
		"no count, an error":            {`{"Records":[` + stored + `,` + failed + `,` + stored + `]}`, [3]error{nil, throttled, nil}},
		"no count, no error":            {`{"Records":[` + stored + `,` + stored + `,` + stored + `]}`, [3]error{}},
		"count above the errors":        {`{"FailedRecordCount":2,"Records":[` + stored + `,` + failed + `,` + stored + `]}`, [3]error{ambiguous, throttled, ambiguous}},
		"count 1, no error":             {`{"FailedRecordCount":1,"Records":[` + stored + `,` + stored + `,` + stored + `]}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"too few":                       {`{"FailedRecordCount":0,"Records":[` + stored + `,` + stored + `]}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"none":                          {`{"FailedRecordCount":0,"Records":[]}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"no records":                    {`{"FailedRecordCount":0}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"too many":                      {`{"FailedRecordCount":0,"Records":[` + strings.Repeat(stored+`,`, 3) + stored + `]}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"too few, with an error":        {`{"FailedRecordCount":1,"Records":[` + stored + `,` + failed + `]}`, [3]error{ambiguous, ambiguous, ambiguous}},
		"an outcome that says nothing":  {`{"FailedRecordCount":0,"Records":[` + stored + `,{},` + stored + `]}`, [3]error{nil, ambiguous, nil}},
		"an outcome that says both":     {`{"FailedRecordCount":0,"Records":[` + stored + `,{"SequenceNumber":"1","ErrorCode":"InternalFailure"},` + stored + `]}`, [3]error{nil, ambiguous, nil}},
		"an empty sequence number":      {`{"FailedRecordCount":0,"Records":[` + stored + `,{"SequenceNumber":"","ShardId":"x"},` + stored + `]}`, [3]error{nil, ambiguous, nil}},
		"an empty error code":           {`{"FailedRecordCount":0,"Records":[` + stored + `,{"SequenceNumber":"1","ErrorCode":""},` + stored + `]}`, [3]error{}},
		"null":                          {`null`, [3]error{ambiguous, ambiguous, ambiguous}},
		"empty":                         {``, [3]error{ambiguous, ambiguous, ambiguous}},
		"a page":                        {`<html>Welcome</html>`, [3]error{ambiguous, ambiguous, ambiguous}},
		"cut before the end":            {`{"FailedRecordCount":0,"Records":[` + stored + `,` + stored + `,` + stored + `]`, [3]error{ambiguous, ambiguous, ambiguous}},
		"cut between outcomes":          {`{"FailedRecordCount":0,"Records":[` + stored + `,` + stored, [3]error{ambiguous, ambiguous, ambiguous}},
		"cut in an outcome":             {`{"FailedRecordCount":0,"Records":[` + stored + `,` + stored + `,{"Sequ`, [3]error{ambiguous, ambiguous, ambiguous}},
		"cut in an outcome that failed": {`{"FailedRecordCount":1,"Records":[` + stored + `,` + stored + `,{"ErrorCode":"Provisi`, [3]error{ambiguous, ambiguous, ambiguous}},
		"more behind the end":           {results(3, nil).body + `{}`, [3]error{ambiguous, ambiguous, ambiguous}},
	} {
		for _, aggregate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, aggregate=%t", name, aggregate), func(t *testing.T) {
				t.Parallel()
				f := &fake{put: func(r putRequest) answer { return answer{body: tc.body, length: -1} }}
				s := f.sink(t, quiet(Config{Stream: "s", Aggregate: aggregate, Slots: 1 << 16}))
				errs := failures(t, s, batchOf(s, "a=1", "b=2", "c=3"))
				stored := 0
				for i, want := range tc.want {
					if want == nil {
						stored++
						require.NoError(t, errs[i], i)
						continue
					}
					require.ErrorIs(t, errs[i], want, i)
				}
				require.EqualValues(t, stored, s.Stats().Streams[0].Records)
			})
		}
	}
}
