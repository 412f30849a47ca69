package awsconn

import (
	"errors"
	"io"

	"github.com/sluiceio/sluice/internal/cut"
)

// MaxReply bounds the bytes of a reply, after decompression: several times the
// largest of the services', a list of ten thousand shards.
const MaxReply = 8 << 20

// ErrReplyTooLarge is why a reply was not read.
var ErrReplyTooLarge = errors.New("the reply is too large to be the service's")

// Bounded fails to read more than n bytes of r.
func Bounded(r io.Reader, n int) io.Reader { return &bounded{r, n} }

type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrReplyTooLarge
	}
	// One byte more than is allowed tells a longer reply from one that just fits.
	n, err := b.r.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return n - 1, ErrReplyTooLarge
	}
	return n, err
}

// boundedBody is the body of a reply.
type boundedBody struct {
	io.Reader
	io.Closer
}

// Short cuts what a service says, which ends up in logs and beside each record.
func Short(text string) string { return cut.Text(text, 500) }
