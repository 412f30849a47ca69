package kinesistest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// maxBody is what the largest PutRecords takes as JSON, with room for keys.
const maxBody = 16 << 20

// maxPooled is the largest buffer worth keeping.
const maxPooled = 1 << 20

const targetPrefix = "Kinesis_20131202."

// response is an HTTP response before it is sent.
type response struct {
	status   int
	header   http.Header
	body     []byte
	truncate bool // break off in the middle
}

// ServeHTTP implements http.Handler: it is the service's endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	res, err := s.respond(r)
	if err != nil {
		abort(w)
		return
	}
	for name, values := range res.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
	w.WriteHeader(res.status)
	if res.truncate {
		_, _ = w.Write(res.body[:len(res.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // net/http breaks the connection off.
	}
	_, _ = w.Write(res.body)
}

// abort breaks the connection off, over HTTP/1.1 with a reset.
func abort(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
		return
	}
	panic(http.ErrAbortHandler)
}

// bodies are buffers for requests, which decoding copies from.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// respond carries out a request. An error means that there is no response.
func (s *Server) respond(r *http.Request) (*response, error) {
	res := &response{status: http.StatusOK, header: http.Header{
		"X-Amzn-Requestid": {requestID()}, "X-Amz-Id-2": {extendedID()},
	}}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost {
		return res.xmlError(http.StatusForbidden, CodeAccessDenied, "Unable to determine service/operation name to be authorized"), nil
	}
	if contentType != typeJSON && contentType != typeCBOR {
		return res.xmlError(http.StatusNotFound, CodeUnknownOperation, ""), nil
	}
	res.header.Set("Content-Type", contentType)
	buf := bodies.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= maxPooled {
			bodies.Put(buf)
		}
	}()
	if r.Body != nil {
		if n, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil {
			return nil, fmt.Errorf("kinesistest: reading a request: %w", err)
		} else if n > maxBody {
			res.status = http.StatusRequestEntityTooLarge
			return res, nil
		}
	}
	c := &call{op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)}
	ctx := context.WithValue(r.Context(), callKey{}, c)
	codec := codecFor(contentType)
	body, err := s.perform(ctx, c, r, contentType, buf.Bytes())
	s.config.Logger.DebugContext(ctx, "kinesistest: call", "op", c.op, "stream", c.stream, "error", err)
	res.body, res.truncate = body, c.truncate
	return res.withError(codec, err)
}

// perform decodes a request, carries it out and encodes its result.
func (s *Server) perform(ctx context.Context, c *call, r *http.Request, contentType string, body []byte) ([]byte, error) {
	operation, ok := operations[c.op]
	if !ok || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), targetPrefix) {
		return nil, &Error{Code: CodeUnknownOperation, Status: http.StatusBadRequest}
	}
	if r.Header.Get("Authorization") == "" && !r.URL.Query().Has("X-Amz-Algorithm") {
		return nil, clientError(CodeMissingToken, "Missing Authentication Token")
	}
	codec := codecFor(contentType)
	if c.op == "PutRecords" {
		return s.performPut(ctx, c, codec, contentType, body)
	}
	out, err := operation(ctx, s, func(in any) error { return codec.decode(body, in) })
	if err != nil {
		return nil, err
	}
	if get, ok := out.(*kinesis.GetRecordsOutput); ok && contentType == typeJSON {
		return appendGetRecords(nil, get, codec)
	}
	return codec.encode(out)
}

func (s *Server) performPut(ctx context.Context, c *call, codec codec, contentType string, body []byte) ([]byte, error) {
	var in *kinesis.PutRecordsInput
	ok := false
	if contentType == typeJSON {
		in, ok = scanPutRecords(body)
	}
	if !ok {
		in = &kinesis.PutRecordsInput{}
		if err := codec.decode(body, in); err != nil {
			return nil, err
		}
	}
	reply, err := s.putRecords(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if contentType == typeJSON {
		return reply.appendJSON(make([]byte, 0, 128*len(reply.results)+64)), nil
	}
	return codec.encode(reply.output())
}

// withError makes err the response, or returns it when it is not an answer of
// the service.
func (res *response) withError(codec codec, err error) (*response, error) {
	if err == nil {
		return res, nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return nil, err
	}
	res.status = e.Status
	body := map[string]any{"__type": e.Code}
	if e.Message != "" {
		body["message"] = e.Message
	}
	res.body, err = codec.format(body)
	return res, err
}

// xmlError is how the service answers what it cannot make sense of.
func (res *response) xmlError(status int, code, message string) *response {
	res.status = status
	res.body = fmt.Appendf(nil, "<%s>\n  <Message>%s</Message>\n</%[1]s>\n", code, message)
	return res
}

func requestID() string {
	hi, lo := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

func extendedID() string {
	var raw [72]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	return base64.StdEncoding.EncodeToString(raw[:])
}
