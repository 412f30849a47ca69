package source

import (
	"context"

	"github.com/sluiceio/sluice/bridge"
)

// Func is a bridge.Source whose Read calls the function and whose Close does
// nothing. See bridge.Source for what Read must do.
type Func func(ctx context.Context, dst []bridge.Message) (n int, err error)

var _ bridge.Source = Func(nil)

// Read calls f.
func (f Func) Read(ctx context.Context, dst []bridge.Message) (int, error) { return f(ctx, dst) }

// Close does nothing.
func (f Func) Close(context.Context) error { return nil }
