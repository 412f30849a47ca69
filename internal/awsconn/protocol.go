package awsconn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Protocol mends two things of the SDK's protocol.
//
// The SDK closes the body of a request as soon as it has the head of the reply,
// while the transport may still be about to look for bytes beyond the content
// length. Reading the closed body then ends with io.EOF, which is what the
// transport hopes for; its WriteTo ends with an error, for which the transport
// closes the connection with the reply half read. So bodies have no WriteTo.
//
// And it decodes a reply up to where it is cut off, which nobody notices when it
// came without a length. So replies are checked to be whole.
type Protocol struct {
	smithyhttp.ClientProtocol
}

// SerializeRequest lets the SDK encode the request and hides WriteTo of its body.
func (p Protocol) SerializeRequest(
	ctx context.Context, op *smithy.OperationSchema, in smithy.Serializable, req *smithyhttp.Request,
) error {
	if err := p.ClientProtocol.SerializeRequest(ctx, op, in, req); err != nil {
		return err
	}
	body, ok := req.GetStream().(bodyReader)
	if !ok {
		return nil
	}
	plain, err := req.SetStream(onlyReads{body})
	if err != nil {
		return err
	}
	*req = *plain
	return nil
}

// bodyReader is what the SDK asks of bodies that it can send again.
type bodyReader interface {
	io.ReadSeeker
	Len() int
}

type onlyReads struct{ bodyReader }

// ErrNotWhole is why a reply was not decoded.
var ErrNotWhole = errors.New("the reply is cut off, or is not the service's")

// DeserializeResponse lets the SDK decode a reply that is whole.
func (p Protocol) DeserializeResponse(
	ctx context.Context, op *smithy.OperationSchema, types *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable,
) error {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return p.ClientProtocol.DeserializeResponse(ctx, op, types, resp, out)
	}
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	return p.Decode(ctx, op, types, resp, out, reply)
}

// Decode decodes the reply, which was read from the response.
func (p Protocol) Decode(
	ctx context.Context, op *smithy.OperationSchema, types *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable, reply []byte,
) error {
	if !json.Valid(reply) {
		return &smithy.DeserializationError{Err: ErrNotWhole}
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(reply))
	err := p.ClientProtocol.DeserializeResponse(ctx, op, types, resp, out)
	resp.Body = http.NoBody // the SDK empties it later, when reply may have other uses
	return err
}
