package firehose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/awsconn"
	"github.com/sluiceio/sluice/sink/firehose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	service := newService()
	defer service.Close()
	sink, err := firehose.New(service.config(firehose.Config{Stream: "readings", Delimiter: "\n"}))
	if err != nil {
		panic(err)
	}
	defer sink.Close(context.Background())
	_ = sink.Write(context.Background(), &bridge.Batch{Records: []bridge.Record{
		{Data: []byte(`{"t":20}`)},
		{Data: []byte(`{"t":21}`), Dest: "alarms"},
	}})
	fmt.Printf("%q\n", service.stored)
	// Output: map["alarms":["{\"t\":21}\n"] "readings":["{\"t\":20}\n"]]
}

// request is a call of PutRecordBatch or DescribeDeliveryStream.
type request struct {
	DeliveryStreamName string
	Records            []struct{ Data []byte }
}

// service is a Firehose of a few lines.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	stored   map[string][]string
	requests int
	status   string
	// answer, when set, says for each record with which code it fails.
	answer func(data string) string
	// refuse, when set, answers a request as a whole.
	refuse func(w http.ResponseWriter, r *request) bool
}

func newService() *service {
	s := &service{stored: map[string][]string{}, status: "ACTIVE"}
	s.Server = httptest.NewServer(s)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch {
	case s.refuse != nil && s.refuse(w, &in):
	case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeDeliveryStream"):
		fmt.Fprintf(w, `{"DeliveryStreamDescription":{"DeliveryStreamName":%q,"DeliveryStreamStatus":%q}}`, in.DeliveryStreamName, s.status)
	default:
		s.put(w, &in)
	}
}

func (s *service) put(w http.ResponseWriter, in *request) {
	type result struct{ RecordId, ErrorCode, ErrorMessage string }
	out := struct {
		FailedPutCount   int
		RequestResponses []result
	}{}
	for _, r := range in.Records {
		code := ""
		if s.answer != nil {
			code = s.answer(string(r.Data))
		}
		if code != "" {
			out.FailedPutCount++
			out.RequestResponses = append(out.RequestResponses, result{ErrorCode: code, ErrorMessage: "Slow down."})
			continue
		}
		s.stored[in.DeliveryStreamName] = append(s.stored[in.DeliveryStreamName], string(r.Data))
		out.RequestResponses = append(out.RequestResponses, result{RecordId: "id"})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *service) config(cfg firehose.Config) firehose.Config {
	cfg.AWS = &aws.Config{Region: "us-east-1", HTTPClient: s.Client(), Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		})}
	cfg.Endpoint = s.URL
	return cfg
}

// sink returns a service and a sink that writes to it.
func sink(t *testing.T, cfg firehose.Config) (*service, *firehose.Sink) {
	t.Helper()
	srv := newService()
	t.Cleanup(srv.Close)
	s, err := firehose.New(srv.config(cfg))
	require.NoError(t, err)
	return srv, s
}

func TestConfigReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := firehose.New(firehose.Config{Endpoint: "x", Stream: "a b", Timeout: -1, Delimiter: strings.Repeat("x", 2000)})
	for _, field := range []string{"Endpoint", "Stream", "Timeout", "Delimiter"} {
		require.ErrorContains(t, err, field+":")
	}
	_, err = firehose.New(firehose.Config{AWS: &aws.Config{}})
	require.ErrorContains(t, err, "Region: no AWS region given")
}

func TestSuite(t *testing.T) {
	services := make(map[bridge.Sink]*service)
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New: func(t *testing.T) bridge.Sink {
			srv, s := sink(t, firehose.Config{Stream: "s"})
			services[s] = srv
			return s
		},
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored {
			srv := services[s]
			srv.mu.Lock()
			defer srv.mu.Unlock()
			var list []bridgetest.Stored
			for _, data := range srv.stored["s"] {
				list = append(list, bridgetest.Stored{Data: data})
			}
			return list
		},
		Fail: func(_ *testing.T, s bridge.Sink, data string) {
			srv, failed := services[s], false
			srv.mu.Lock()
			defer srv.mu.Unlock()
			srv.answer = func(d string) string {
				if d != data || failed {
					return ""
				}
				failed = true
				return "ServiceUnavailableException"
			}
		},
		Block: func(_ *testing.T, s bridge.Sink) func() {
			ch, srv := make(chan struct{}), services[s]
			srv.mu.Lock()
			defer srv.mu.Unlock()
			srv.refuse = func(http.ResponseWriter, *request) bool { <-ch; return true }
			return func() { close(ch) }
		},
		NoKeys: true,
		Leaky:  true, // the server's connections
	})
}

func TestOutcomesOfRecords(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s"})
	srv.answer = func(data string) string {
		return map[string]string{"slow": "ServiceUnavailableException", "odd": "InternalFailure"}[data]
	}
	b := &bridge.Batch{Records: []bridge.Record{
		{Data: []byte("1")},
		{Data: []byte("slow")},
		{Data: []byte("x"), Dest: "no name"},
		{Data: make([]byte, firehose.MaxRecordBytes+1)},
		{Data: []byte("odd")},
		{},
		{Data: []byte("2"), Dest: "other"},
	}}
	require.NoError(t, s.Write(t.Context(), b))
	failed := bridgetest.Failed(b)
	require.Len(t, failed, 4)
	for i, mark := range []error{bridge.ErrThrottled, bridge.ErrPermanent, bridge.ErrPermanent, bridge.ErrAmbiguous} {
		require.ErrorIs(t, failed[i+1], mark)
	}
	require.Equal(t, map[string][]string{"s": {"1", ""}, "other": {"2"}}, srv.stored)

	_, s = sink(t, firehose.Config{})
	b = &bridge.Batch{Records: []bridge.Record{{Data: []byte("1")}}}
	require.NoError(t, s.Write(t.Context(), b))
	require.ErrorIs(t, bridgetest.Failed(b)[0], bridge.ErrPermanent)
	require.ErrorContains(t, bridgetest.Failed(b)[0], "names no delivery stream")
}

func TestRequestsKeepTheLimits(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s"})
	srv.refuse = func(_ http.ResponseWriter, r *request) bool {
		size := 0
		for i := range r.Records {
			size += len(r.Records[i].Data)
		}
		return len(r.Records) > firehose.MaxRecords || size > firehose.MaxRequestBytes
	}
	require.NoError(t, bridgetest.Write(t.Context(), s, &bridge.Batch{Records: make([]bridge.Record, firehose.MaxRecords+1)}))
	require.Equal(t, 2, srv.requests)
	large := &bridge.Batch{Records: make([]bridge.Record, 5)}
	for i := range large.Records {
		large.Records[i].Data = make([]byte, firehose.MaxRecordBytes)
	}
	require.NoError(t, bridgetest.Write(t.Context(), s, large))
	require.Equal(t, 4, srv.requests)
	require.Equal(t, bridge.Limits{Records: firehose.MaxRecords, LaneRecords: 1, Bytes: firehose.MaxRequestBytes}, s.Limits())
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	for code, tc := range map[string]struct {
		status int
		mark   error
		text   string
	}{
		"ResourceNotFoundException":   {400, bridge.ErrUnavailable, "there is no such delivery stream"},
		"AccessDeniedException":       {400, bridge.ErrUnavailable, "do not allow firehose:PutRecordBatch"},
		"InvalidSourceException":      {400, bridge.ErrUnavailable, "takes no direct puts"},
		"InvalidKMSResourceException": {400, bridge.ErrUnavailable, "encryption key"},
		"InvalidSignatureException":   {400, bridge.ErrUnavailable, "clock"},
		"ServiceUnavailableException": {503, bridge.ErrThrottled, ""},
		"InternalFailure":             {500, bridge.ErrAmbiguous, ""},
		"":                            {404, bridge.ErrUnavailable, ""},
	} {
		srv, s := sink(t, firehose.Config{Stream: "s"})
		srv.refuse = func(w http.ResponseWriter, _ *request) bool {
			w.WriteHeader(tc.status)
			fmt.Fprintf(w, `{"__type":%q,"message":"No."}`, code)
			return true
		}
		b := &bridge.Batch{Records: make([]bridge.Record, 2)}
		require.NoError(t, s.Write(t.Context(), b), code)
		failed := bridgetest.Failed(b)
		require.Len(t, failed, 2)
		require.ErrorIs(t, failed[0], tc.mark, code)
		require.ErrorContains(t, failed[1], tc.text)
		require.Equal(t, 1, srv.requests, "the SDK must not try again")
	}
}

// refused refuses requests with a record that holds the text.
func refused(text string, status int, body string) func(http.ResponseWriter, *request) bool {
	return func(w http.ResponseWriter, r *request) bool {
		for i := range r.Records {
			if strings.Contains(string(r.Records[i].Data), text) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			}
		}
		return false
	}
}

// TestRefusedRecordsAreIsolated finds the record that a request is refused for.
func TestRefusedRecordsAreIsolated(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(http.ResponseWriter, *request) bool{
		"known":    refused("poison", 400, `{"__type":"InvalidArgumentException"}`),
		"unknown":  refused("poison", 400, `{"__type":"BrandNewException"}`),
		"firewall": refused("poison", 403, `<html>`),
	} {
		srv, s := sink(t, firehose.Config{Stream: "s"})
		srv.refuse = refuse
		b := new(bridge.Batch)
		for i := range 100 {
			b.Add(bridge.Record{Data: fmt.Append(nil, i)})
		}
		b.Records[42].Data = []byte("poison")
		require.NoError(t, s.Write(t.Context(), b), name)
		failed := bridgetest.Failed(b)
		require.Len(t, failed, 1, name)
		err := failed[42]
		for attempt := 1; name != "known" && attempt < awsconn.Certain; attempt++ {
			require.NotErrorIs(t, err, bridge.ErrPermanent, name)
			require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: []byte("other")}}}))
			err = bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Data: []byte("poison"), Attempt: attempt}}})
		}
		require.ErrorIs(t, err, bridge.ErrPermanent, name)
		require.Len(t, slices.DeleteFunc(srv.stored["s"], func(data string) bool { return data == "other" }), 99)
	}
	srv, s := sink(t, firehose.Config{Stream: "s"})
	srv.refuse = refused("", 400, `{"__type":"BrandNewException"}`)
	err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: make([]bridge.Record, 500)})
	for _, mark := range []error{bridge.ErrPermanent, bridge.ErrUnavailable, bridge.ErrAmbiguous} {
		require.NotErrorIs(t, err, mark, "the reason may be anything")
	}
	require.Less(t, srv.requests, 50)
}

// TestRequestsTooLargeForAProxy learns what goes through, and gives up nothing.
func TestRequestsTooLargeForAProxy(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s"})
	tooLarge := 0
	srv.refuse = func(w http.ResponseWriter, r *request) bool {
		size := 0
		for i := range r.Records {
			size += len(r.Records[i].Data)
		}
		if size <= 100<<10 {
			return false
		}
		tooLarge++
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return true
	}
	b := &bridge.Batch{Records: make([]bridge.Record, 50)}
	for i := range b.Records {
		b.Records[i].Data = make([]byte, 10<<10)
	}
	for range 30 {
		require.NoError(t, bridgetest.Write(t.Context(), s, b))
	}
	tooLarge = 0
	require.NoError(t, bridgetest.Write(t.Context(), s, b))
	require.Zero(t, tooLarge)
	err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Data: make([]byte, 200<<10)}}})
	require.ErrorContains(t, err, "too large")
	require.NotErrorIs(t, err, bridge.ErrPermanent)
	require.NotErrorIs(t, err, bridge.ErrUnavailable)
}

// TestAnswersThatCannotBeTrusted counts no record as stored that was not said to be.
func TestAnswersThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	const stored = `{"RecordId":"id"}`
	const failed = `{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}`
	for body, want := range map[string][2]error{
		`{"FailedPutCount":0,"RequestResponses":[` + stored + `,` + failed + `]}`:                   {nil, bridge.ErrThrottled},
		`{"FailedPutCount":1,"RequestResponses":[` + stored + `,` + stored + `]}`:                   {bridge.ErrAmbiguous, bridge.ErrAmbiguous},
		`{"FailedPutCount":0,"RequestResponses":[` + stored + `]}`:                                  {bridge.ErrAmbiguous, bridge.ErrAmbiguous},
		`{"FailedPutCount":0,"RequestResponses":[` + stored + `,` + stored + `,` + stored + `]}`:    {bridge.ErrAmbiguous, bridge.ErrAmbiguous},
		`{"FailedPutCount":0,"RequestResponses":[` + stored + `,{}]}`:                               {nil, bridge.ErrAmbiguous},
		`{"FailedPutCount":1,"RequestResponses":[` + stored + `,{"RecordId":"x","ErrorCode":"y"}]}`: {nil, bridge.ErrAmbiguous},
		`{"FailedPutCount":0,"RequestResponses":[` + stored + `,` + stored:                          {bridge.ErrAmbiguous, bridge.ErrAmbiguous},
		`<html>`: {bridge.ErrAmbiguous, bridge.ErrAmbiguous},
	} {
		srv, s := sink(t, firehose.Config{Stream: "s"})
		srv.refuse = func(w http.ResponseWriter, _ *request) bool {
			_ = http.NewResponseController(w).Flush() // so that there is no length
			_, _ = w.Write([]byte(body))
			return true
		}
		b := &bridge.Batch{Records: make([]bridge.Record, 2)}
		require.NoError(t, s.Write(t.Context(), b), body)
		got := bridgetest.Failed(b)
		for i := range want {
			if want[i] == nil {
				require.NoError(t, got[i], body)
			} else {
				require.ErrorIs(t, got[i], want[i], body)
			}
		}
	}
}

// TestRotatedCredentialsFile has another process rotate the shared credentials file.
func TestRotatedCredentialsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	rotate := func(key string) {
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = s\n", key)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", file+".none")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	known := "FIRST"
	srv := newService()
	t.Cleanup(srv.Close)
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), known) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"UnrecognizedClientException"}`))
			return
		}
		srv.ServeHTTP(w, r)
	}))
	t.Cleanup(guard.Close)
	rotate("FIRST")
	s, err := firehose.New(firehose.Config{Stream: "s", Region: "eu-west-1", Endpoint: guard.URL})
	require.NoError(t, err)
	b := &bridge.Batch{Records: make([]bridge.Record, 1)}
	require.NoError(t, bridgetest.Write(t.Context(), s, b))
	rotate("SECOND")
	known = "SECOND"
	require.NoError(t, bridgetest.Write(t.Context(), s, b))
	require.Len(t, srv.stored["s"], 2)
	require.NoError(t, s.Close(t.Context()))
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s", Timeout: 50 * time.Millisecond})
	srv.refuse = func(http.ResponseWriter, *request) bool { panic(http.ErrAbortHandler) }
	err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: make([]bridge.Record, 1)})
	require.ErrorIs(t, err, bridge.ErrAmbiguous)
	srv.Close()
	err = bridgetest.Write(t.Context(), s, &bridge.Batch{Records: make([]bridge.Record, 1)})
	require.Error(t, err)
	require.NotErrorIs(t, err, bridge.ErrAmbiguous)
	require.NoError(t, s.Close(t.Context()))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s"})
	require.NoError(t, s.Check(t.Context()))
	srv.status = "CREATING"
	require.ErrorContains(t, s.Check(t.Context()), "stream s: its status is CREATING")
	srv.refuse = func(w http.ResponseWriter, _ *request) bool {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"ResourceNotFoundException","message":"Firehose s not found."}`))
		return true
	}
	err := s.Check(t.Context())
	require.ErrorContains(t, err, "there is no such delivery stream")
	require.ErrorIs(t, err, bridge.ErrUnavailable)
	_, s = sink(t, firehose.Config{})
	require.NoError(t, s.Check(t.Context()))
}
