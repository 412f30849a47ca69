package firehose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
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
	require.ErrorContains(t, err, "set Region")
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
	err := s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{
		{Data: []byte("1")},
		{Data: []byte("slow")},
		{Data: []byte("x"), Dest: "no name"},
		{Data: make([]byte, firehose.MaxRecordBytes+1)},
		{Data: []byte("odd")},
		{},
		{Data: []byte("2"), Dest: "other"},
	}})
	var failed *bridge.BatchError
	require.ErrorAs(t, err, &failed)
	var indexes []int
	for i, mark := range []error{bridge.ErrThrottled, bridge.ErrPermanent, bridge.ErrPermanent, bridge.ErrAmbiguous} {
		indexes = append(indexes, failed.Failed[i].Index)
		require.ErrorIs(t, failed.Failed[i].Err, mark)
	}
	require.Equal(t, []int{1, 2, 3, 4}, indexes)
	require.Equal(t, map[string][]string{"s": {"1", ""}, "other": {"2"}}, srv.stored)

	_, s = sink(t, firehose.Config{})
	err = s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: []byte("1")}}})
	require.ErrorIs(t, err, bridge.ErrPermanent)
	require.ErrorContains(t, err, "names no delivery stream")
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
	require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: make([]bridge.Record, firehose.MaxRecords+1)}))
	require.Equal(t, 2, srv.requests)
	large := &bridge.Batch{Records: make([]bridge.Record, 5)}
	for i := range large.Records {
		large.Records[i].Data = make([]byte, firehose.MaxRecordBytes)
	}
	require.NoError(t, s.Write(t.Context(), large))
	require.Equal(t, 4, srv.requests)
	require.Equal(t, bridge.Limits{Records: firehose.MaxRecords, Bytes: firehose.MaxRequestBytes}, s.Limits())
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	for code, tc := range map[string]struct {
		status int
		mark   error
		text   string
	}{
		"ResourceNotFoundException":   {400, bridge.ErrUnavailable, "there is no such delivery stream"},
		"AccessDeniedException":       {400, bridge.ErrUnavailable, "do not allow it"},
		"InvalidSourceException":      {400, bridge.ErrUnavailable, "takes no direct puts"},
		"InvalidKMSResourceException": {400, bridge.ErrUnavailable, "encryption key"},
		"InvalidSignatureException":   {400, bridge.ErrUnavailable, "clock"},
		"InvalidArgumentException":    {400, bridge.ErrPermanent, ""},
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
		err := s.Write(t.Context(), &bridge.Batch{Records: make([]bridge.Record, 2)})
		var failed *bridge.BatchError
		require.ErrorAs(t, err, &failed, code)
		require.Len(t, failed.Failed, 2)
		require.ErrorIs(t, err, tc.mark, code)
		require.ErrorContains(t, err, tc.text)
		require.Equal(t, 1, srv.requests, "the SDK must not try again")
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	srv, s := sink(t, firehose.Config{Stream: "s", Timeout: 50 * time.Millisecond})
	srv.refuse = func(http.ResponseWriter, *request) bool { panic(http.ErrAbortHandler) }
	err := s.Write(t.Context(), &bridge.Batch{Records: make([]bridge.Record, 1)})
	require.ErrorIs(t, err, bridge.ErrAmbiguous)
	srv.Close()
	err = s.Write(t.Context(), &bridge.Batch{Records: make([]bridge.Record, 1)})
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
