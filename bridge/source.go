package bridge

import "context"

// Source hands out messages in batches, in order of receipt.
//
// Read blocks until there is at least one message or ctx is done, fills dst
// from its start and returns how many messages it stored, at most len(dst). A
// source that has no more messages, and never will, returns io.EOF, with or
// after its last messages. Not calling Read is the back-pressure: a source
// must bound what it holds and let its upstream feel it.
//
// A source reconnects by itself and reports trouble through Checker or its own
// log; an error from Read other than io.EOF or the context's ends the pipeline.
// Read is called by one goroutine at a time, with the messages of the previous
// call possibly unsettled and dst possibly the same slice.
//
// Close is called once, after the last Read returned and every Delivery was
// settled or given up. It must pass on acknowledgements that are still to be
// sent, and release everything. Settling a Delivery after Close is a no-op.
type Source interface {
	Read(ctx context.Context, dst []Message) (n int, err error)
	Close(ctx context.Context) error
}

// Typer is implemented by sources that have a type, such as "mqtt". Rules select
// the messages of one source by the name "$sources/<type>:<name>", or
// "$sources/<name>" for one without a type, where name is its key in
// Config.Sources. "$bridges/" means the same, as in EMQX.
type Typer interface {
	Type() string
}

// Windower is implemented by sources that hand out only so many messages before
// earlier ones are settled. While unsettled is at the limit the source's Health
// says which sink holds the oldest of them.
type Windower interface {
	Window() (unsettled, limit int)
}

// Counter is implemented by sources and sinks that count what a pipeline cannot
// see, such as messages that were lost before Read. Counts returns their counters by
// name, in lower case with underscores; they only grow.
type Counter interface {
	Counts() map[string]uint64
}
