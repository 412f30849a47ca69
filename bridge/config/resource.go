package config

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
)

// ResourceOptions are the options of a sink's queue, under "resource_opts" as in
// EMQX. Zero means the default of bridge.QueueConfig, which loses nothing: no
// time to live, and waiting when the queue is full.
type ResourceOptions struct {
	BatchSize      Count      `yaml:"batch_size" doc:"Records in one write. Default and highest: the sink's limit, 500 for Kinesis."`
	BatchBytes     Size       `yaml:"batch_bytes" doc:"Bytes of the records in one write. Default and highest: the sink's limit, or 4MB."`
	BatchTime      *Duration  `yaml:"batch_time" doc:"How long a record may wait for a batch to fill while another write is under way; 0 for not at all. Default 5ms."`
	MaxBufferBytes Size       `yaml:"max_buffer_bytes" doc:"Memory of the queue. Default 256MB, or a quarter of GOMEMLIMIT if that is less."`
	MaxBufferCount Count      `yaml:"max_buffer_records" doc:"Records in the queue. Default 1000000."`
	InflightWindow Count      `yaml:"inflight_window" doc:"Writes under way at once. Default 16."`
	InflightBytes  Size       `yaml:"inflight_bytes" doc:"Memory of the records in all writes under way at once; what a sink makes of them, such as a request's body, comes on top. Default an eighth of max_buffer_bytes."`
	RequestTTL     TTL        `yaml:"request_ttl" doc:"A record that could not be stored for so long is dropped. Default infinity."`
	ResumeInterval Duration   `yaml:"resume_interval" doc:"How often a sink that is unavailable is tried again. Default 5s."`
	BackoffMin     Duration   `yaml:"backoff_min" doc:"Shortest wait before a record is written again. Default 50ms."`
	BackoffMax     Duration   `yaml:"backoff_max" doc:"Longest wait before a record is written again. Default 10s."`
	OnFull         onFull     `yaml:"on_full" doc:"What happens when the queue is full: block, so that the source is read no further, drop_oldest or drop_newest. Default block."`
	Fallback       string     `yaml:"fallback" doc:"The sink for what this one cannot store (dead letters)."`
	BufferMode     bufferMode `yaml:"buffer_mode" doc:"memory_only; or a buffer on disk in front of the sink: durable, which survives a loss of power, or volatile_offload, which is in memory as far as max_buffer_memory allows. Default memory_only."`
	BufferDir      string     `yaml:"buffer_dir" doc:"Directory of the buffer on disk, of this sink alone."`
	BufferDisk     DiskSize   `yaml:"max_buffer_disk" doc:"Size of the buffer on disk. Default 4GB."`
	BufferMemory   Size       `yaml:"max_buffer_memory" doc:"How much of a volatile_offload buffer is in memory before it goes to disk; a crash of the program loses that. Default 64MB, or a quarter of max_buffer_disk if that is less."`
}

// onFull is bridge.FullPolicy by name.
type onFull bridge.FullPolicy

var onFullNames = map[string]onFull{
	"block": onFull(bridge.Block), "drop_oldest": onFull(bridge.DropOldest), "drop_newest": onFull(bridge.DropNewest),
}

// UnmarshalText reads a name.
func (f *onFull) UnmarshalText(text []byte) error { return choice(f, text, onFullNames) }

// bufferMode says where records wait.
type bufferMode uint8

const (
	memoryOnly bufferMode = iota
	volatileOffload
	durable
)

var bufferModes = map[string]bufferMode{"memory_only": memoryOnly, "volatile_offload": volatileOffload, "durable": durable}

// UnmarshalText reads a name.
func (m *bufferMode) UnmarshalText(text []byte) error { return choice(m, text, bufferModes) }

func (o *ResourceOptions) queue() bridge.QueueConfig {
	return bridge.QueueConfig{
		BatchSize: int(o.BatchSize), BatchBytes: int(o.BatchBytes), BatchTime: orNegative(o.BatchTime),
		BackoffMin: time.Duration(o.BackoffMin), BackoffMax: time.Duration(o.BackoffMax),
		MaxBytes: int(o.MaxBufferBytes), MaxRecords: int(o.MaxBufferCount), InFlight: int(o.InflightWindow), InFlightBytes: int(o.InflightBytes),
		RecordTTL: time.Duration(o.RequestTTL), ResumeInterval: time.Duration(o.ResumeInterval),
		OnFull: bridge.FullPolicy(o.OnFull), Fallback: o.Fallback,
	}
}

func (o *ResourceOptions) buffered() bool { return o.BufferMode != memoryOnly }

// sameBuffer reports whether two sinks have the same buffer on disk.
func (o *ResourceOptions) sameBuffer(p *ResourceOptions) bool {
	return o.BufferMode == p.BufferMode && o.BufferDir == p.BufferDir && o.BufferDisk == p.BufferDisk &&
		o.BufferMemory == p.BufferMemory
}

func (o *ResourceOptions) spool(sink string, log *slog.Logger) spool.Config {
	cfg := spool.Config{Dir: o.BufferDir, MaxBytes: int64(o.BufferDisk), MemoryBytes: int64(o.BufferMemory), Name: bufferedName(sink), Logger: log}
	if o.BufferMode == volatileOffload {
		cfg.Mode = spool.Volatile
	}
	return cfg
}

// bufferedName is the name of the source that hands out what is in the buffer of a
// sink.
func bufferedName(sink string) string { return sink + ".buffered" }

// Buffered reports whether a sink has a buffer on disk. Records that the sink has
// not stored when a pipeline stops are in the buffer, for the next one.
func (def *Definition) Buffered(sink string) bool {
	s := def.sinks[sink]
	return s != nil && s.buffered()
}

// bufferName is the name of the buffer in front of a sink, as a sink
// and a rule.
func bufferName(sink string) string { return sink + ".buffer" }

// check returns what is wrong with the options together, by path.
func (o *ResourceOptions) check() (path string, err error) {
	switch {
	case o.buffered() && o.BufferDir == "":
		return "buffer_mode", errors.New("it needs a buffer_dir")
	case !o.buffered() && o.BufferDir != "":
		return "buffer_dir", errors.New("it needs buffer_mode durable or volatile_offload")
	case o.buffered() && o.BufferDisk != 0 && o.BufferDisk < 1<<20:
		return "max_buffer_disk", errors.New("it must be 1MB or more")
	case o.BackoffMax != 0 && o.BackoffMin > o.BackoffMax:
		return "backoff_min", errors.New("it is above backoff_max")
	}
	return "", nil
}
