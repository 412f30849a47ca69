//go:build linux

package hostile_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
)

// fromKinesis has an endpoint answer to one write in a way of its own, and to the
// next ones as it should.
func fromKinesis(handler http.HandlerFunc) func() func() string {
	return func() func() string {
		var gone atomic.Bool
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			target := r.Header.Get("X-Amz-Target")
			switch {
			case !gone.Load():
				handler(w, r)
			case strings.HasSuffix(target, "PutRecords"):
				fmt.Fprint(w, `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`)
			default:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"__type":"AccessDeniedException"}`)
			}
		}))
		s, err := kinesis.New(kinesis.Config{
			Stream: "s", Endpoint: srv.URL, AccessKeyID: "a", SecretAccessKey: "b", RequestTimeout: time.Second, Logger: quiet,
			OnReceipt: func([]kinesis.Receipt) {}, // replies are read for them
		})
		must(err)
		return func() string {
			write := func() string {
				b := new(bridge.Batch)
				b.Add(bridge.Record{Key: []byte("k"), Data: []byte("x")})
				if err := s.Write(context.Background(), b); err != nil {
					return err.Error()
				}
				if b.Failed() > 0 {
					return b.Err(&b.Records[0]).Error()
				}
				return ok
			}
			answer := write()
			gone.Store(true)
			var next string
			for range 20 { // an answer of before may have been about the stream
				if next = write(); next == ok {
					return answer
				}
				time.Sleep(10 * time.Millisecond)
			}
			return "the next record is not stored: " + next
		}
	}
}

// kinesisRows are answers of an endpoint that is not Kinesis, or not well.
func kinesisRows() []row {
	k := func(name string, handler http.HandlerFunc, answer string, short bool) row {
		return row{boundary: kinesisReply, name: name, short: short, answer: answer, memory: 100 << 20, prepare: fromKinesis(handler)}
	}
	endless := func(status int, head, part string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(head))
			more := []byte(strings.Repeat(part, 64<<10/len(part)))
			for range 1 << 14 { // 1 GiB
				if _, err := w.Write(more); err != nil {
					return
				}
			}
		}
	}
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	const failed = `.*[Kk]inesis.*`
	return []row{
		k("a body without end", endless(200, "", "x"), failed, true),
		k("records without end", endless(200, `{"Records":[`, `{},`), failed, true),
		k("an error without end", endless(400, `{"__type":"`, "x"), failed, true),
		k("a failure without end", endless(500, `{"message":"`, "x"), failed, false),
		k("an entity without end", endless(413, "<", "x"), failed, false),
		k("500,000 records", says(200, `{"FailedRecordCount":1,"Records":[`+strings.Repeat("{},", 500_000)+`{}]}`), failed, true),
		k("a deep answer", says(200, `{"Records":`+strings.Repeat("[", 1_000_000)), failed, false),
		k("a deep answer that ends", says(200, `{"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`), failed, false),
		k("deep objects", says(200, strings.Repeat(`{"Records":`, 100_000)), failed, false),
		k("a long message", says(400, `{"__type":"ValidationException","message":"`+strings.Repeat("x", 500_000)+`"}`), failed, false),
		k("a long message of a record", says(200, `{"FailedRecordCount":1,"Records":[{"ErrorCode":"InternalFailure","ErrorMessage":"`+strings.Repeat("x", 50_000)+`"}]}`), failed, true),
		k("a number without end", says(200, `{"FailedRecordCount":`+strings.Repeat("9", 500_000)+`,"Records":[]}`), failed, false),
		{boundary: kinesisReply, name: "64 MiB that are compressed", answer: failed, memory: 100 << 20, prepare: func() func() string {
			data := gzipped()
			return fromKinesis(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(data)
			})()
		}},
		k("shards without end", func(w http.ResponseWriter, r *http.Request) {
			switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
			case "ListShards":
				_, _ = w.Write([]byte(`{"NextToken":"t","Shards":[` + strings.Repeat(`{},`, 50_000) + `{}]}`))
			case "DescribeStreamSummary":
				_, _ = w.Write([]byte(`{"StreamDescriptionSummary":{"OpenShardCount":2147483647,"MaxRecordSizeInKiB":2147483647}}`))
			default:
				_, _ = w.Write([]byte(`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`))
			}
		}, ok, true),
		k("empty pages of shards without end", func(w http.ResponseWriter, r *http.Request) {
			switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
			case "ListShards":
				_, _ = w.Write([]byte(`{"NextToken":"t","Shards":[]}`))
			case "DescribeStreamSummary":
				_, _ = w.Write([]byte(`{}`))
			default:
				_, _ = w.Write([]byte(`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`))
			}
		}, ok, true),
		k("headers without end", func(w http.ResponseWriter, _ *http.Request) {
			nc, _, err := http.NewResponseController(w).Hijack()
			must(err)
			defer nc.Close()
			_, _ = nc.Write([]byte("HTTP/1.1 200 OK\r\n"))
			more := []byte(strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 64))
			for range 1 << 14 {
				if _, err := nc.Write(more); err != nil {
					return
				}
			}
		}, failed, true),
		k("answers of a byte now and then", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write([]byte(" ")); err != nil || r.Context().Err() != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}, failed, false),
	}
}

// gzipped is 64 MiB of zeros, as gzip has it.
func gzipped() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	must(z.Close())
	return b.Bytes()
}
