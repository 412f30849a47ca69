package kinesis

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluiceio/sluice/internal/awsconn"
)

// protocol puts our own encoding of PutRecords in the place of the SDK's, which
// spends most of its time and nearly all of its garbage on it, and does not
// decode replies that say that nothing failed. Everything else, such as
// credentials, endpoints, signing and errors, stays the SDK's.
type protocol struct {
	awsconn.Protocol
}

// exchange carries the body of one request down to the protocol, and what became
// of it back up. It travels in the context.
type exchange struct {
	body    body
	entries int     // in the body
	decode  bool    // decode the reply even when nothing failed
	places  []place // where entries are stored, if somebody wants to know; filled if skipped
	skipped bool    // all entries were stored, the reply was not decoded
}

type exchangeKey struct{}

// SerializeRequest sets the body that the caller has encoded.
func (p protocol) SerializeRequest(
	ctx context.Context, op *smithy.OperationSchema, in smithy.Serializable, req *smithyhttp.Request,
) error {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return p.Protocol.SerializeRequest(ctx, op, in, req)
	}
	req.Method = http.MethodPost
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sreq, err := req.SetStream(&x.body)
	if err != nil {
		return err
	}
	*req = *sreq
	return nil
}

// The most that a reply may have, for each entry and beside them. That of a refused
// entry has some 300 bytes; the SDK makes ten times of it what is empty in JSON.
const maxReply, maxOutcome = 64 << 10, 4 << 10

var replies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// DeserializeResponse leaves a reply alone that says that everything was stored.
func (p protocol) DeserializeResponse(
	ctx context.Context, op *smithy.OperationSchema, types *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable,
) error {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return p.Protocol.DeserializeResponse(ctx, op, types, resp, out)
	}
	reply := replies.Get().(*bytes.Buffer)
	defer replies.Put(reply)
	reply.Reset()
	if _, err := reply.ReadFrom(awsconn.Bounded(resp.Body, maxReply+x.entries*maxOutcome)); err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if !x.decode && storedAll(reply.Bytes(), x.entries, x.places) {
		x.skipped = true
		return nil
	}
	clear(x.places)
	return p.Decode(ctx, op, types, resp, out, reply.Bytes())
}

// putOptions are the options of the SDK's client for puts: our protocol, and no
// retries, which would reorder records and hide duplicates.
func putOptions(o *sdk.Options) {
	o.Protocol = protocol{awsconn.Protocol{ClientProtocol: o.Protocol}}
	o.Retryer = aws.NopRetryer{}
}

const head = `{"Records":[`

// body is the body of a request: head, encoded entries, tail. The transport may
// go on reading it after the call has returned; detach makes that harmless, so
// that the memory can be reused.
type body struct {
	mu       sync.Mutex
	parts    [3][]byte
	at       int // position in the whole
	size     int
	rewound  bool // the SDK has read it once for the signature
	sent     bool // it was read again: some of it went out
	whole    bool // to its end: all of it may have gone out
	detached bool
}

var errDetached = errors.New("kinesis: the request is over")

func (b *body) set(entries, tail []byte) {
	b.parts = [3][]byte{[]byte(head), entries, tail}
	b.size = len(head) + len(entries) + len(tail)
	b.at, b.rewound, b.sent, b.whole, b.detached = 0, false, false, false, false
}

// detach ends all reading. It reports whether any of the body was sent, and whether
// all of it was: nobody can act on a request whose end they do not have.
func (b *body) detach() (sent, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	b.parts = [3][]byte{}
	return b.sent, b.whole
}

// Len is the number of bytes left; the SDK takes it for the content length.
func (b *body) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.at
}

// Seek serves the SDK, which asks for the position and rewinds.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case whence == io.SeekCurrent && offset == 0:
	case whence == io.SeekStart && offset == 0:
		b.at, b.rewound = 0, true
	default:
		return 0, errors.New("kinesis: a request can only be rewound")
	}
	return int64(b.at), nil
}

// Read gives the transport the whole. There is no WriteTo on purpose: see
// awsconn.Protocol.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.reading(); err != nil {
		return 0, err
	}
	for n < len(p) && b.at < b.size {
		m := copy(p[n:], b.rest())
		n, b.at = n+m, b.at+m
	}
	b.whole = b.whole || b.sent && b.at == b.size
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *body) reading() error {
	if b.detached {
		return errDetached
	}
	b.sent = b.sent || b.rewound
	return nil
}

// rest is the unread rest of the part that the position is in.
func (b *body) rest() []byte {
	at := b.at
	for _, p := range b.parts {
		if at < len(p) {
			return p[at:]
		}
		at -= len(p)
	}
	return nil
}

// appendEntry appends the JSON of one entry of a request.
func appendEntry(dst, key, hashKey, data []byte) []byte {
	dst = append(dst, `{"Data":"`...)
	dst = appendBase64(dst, data)
	dst = append(dst, `","PartitionKey":"`...)
	dst = appendEscaped(dst, key)
	if len(hashKey) > 0 {
		dst = append(dst, `","ExplicitHashKey":"`...)
		dst = append(dst, hashKey...) // digits
	}
	return append(dst, `"}`...)
}

// appendEscaped appends valid UTF-8 text as the inside of a JSON string.
func appendEscaped(dst, text []byte) []byte {
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		if c < ' ' {
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(dst, text[from:]...)
}

// keyProblem says what is wrong with a partition key, "" for nothing.
func keyProblem(key []byte) string {
	switch {
	case len(key) == 0:
		return "the partition key is empty"
	case len(key) > MaxKeyLength && utf8.RuneCount(key) > MaxKeyLength:
		return "the partition key has more than 256 characters"
	case !utf8.Valid(key):
		return "the partition key is not valid UTF-8"
	}
	return ""
}
