package kinesistest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// streamDir is the folder of a stream:
//
//	stream-NAME/stream.json        settings and shards
//	stream-NAME/SHARD-BASE.log     records of one chunk of a shard's log
//
// Records are handed to the operating system with each put, so they survive the
// process; nothing is synced, so not necessarily the machine. A write that
// fails is logged and ends the writing, not the serving.
type streamDir struct {
	root   *os.Root
	logger *slog.Logger
	open   map[uint32]*segment // the last of each shard
	dirty  []*segment
	failed error
}

// segment is a file of records that is being written.
type segment struct {
	base  uint64
	file  *os.File
	w     *bufio.Writer
	dirty bool
}

const (
	dirPrefix  = "stream-"
	metaFile   = "stream.json"
	segmentExt = ".log"
)

// load reads the streams of Config.Dir.
func (s *Server) load() error {
	if s.config.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(s.config.Dir, 0o750); err != nil {
		return fmt.Errorf("kinesistest: %w", err)
	}
	dirs, err := os.ReadDir(s.config.Dir)
	if err != nil {
		return fmt.Errorf("kinesistest: %w", err)
	}
	for _, d := range dirs {
		name, ok := strings.CutPrefix(d.Name(), dirPrefix)
		if !ok || !d.IsDir() || !streamNamePattern.MatchString(name) {
			continue
		}
		st, err := s.loadStream(name)
		if err != nil && st != nil {
			_ = st.disk.root.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // Creating it was not finished.
		}
		if err != nil {
			return fmt.Errorf("kinesistest: loading stream %s: %w", name, err)
		}
		s.streams[name] = st
	}
	return nil
}

// openDisk makes the folder of a new stream.
func (s *Server) openDisk(st *stream) error {
	if s.config.Dir == "" {
		return nil
	}
	path := filepath.Join(s.config.Dir, dirPrefix+st.name)
	if err := os.MkdirAll(path, 0o750); err != nil {
		return fmt.Errorf("kinesistest: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return fmt.Errorf("kinesistest: %w", err)
	}
	st.disk = &streamDir{root: root, logger: s.config.Logger, open: map[uint32]*segment{}}
	return nil
}

// fail notes the first error; nothing is written after it.
func (d *streamDir) fail(err error) {
	if err != nil && d.failed == nil {
		d.failed = err
		d.logger.Warn("kinesistest: the stream is no longer saved", "dir", d.root.Name(), "error", err)
	}
}

func segmentName(shard uint32, base uint64) string {
	return fmt.Sprintf("%012d-%020d%s", shard, base, segmentExt)
}

// segment is the file for the chunk of a shard that starts at base.
func (d *streamDir) segment(shard uint32, base uint64) (*segment, error) {
	seg := d.open[shard]
	if seg != nil && seg.base == base {
		return seg, nil
	}
	if seg != nil { // The chunk before is full.
		if err := errors.Join(seg.w.Flush(), seg.file.Close()); err != nil {
			return nil, err
		}
	}
	file, err := d.root.OpenFile(segmentName(shard, base), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	seg = &segment{base: base, file: file, w: bufio.NewWriter(file)}
	d.open[shard] = seg
	return seg, nil
}

// logDisk writes the last record of the shard.
func (st *stream) logDisk(sh *shard) {
	d := st.disk
	if d == nil || d.failed != nil {
		return
	}
	index := sh.log.next - 1
	seg, err := d.segment(sh.number, index-(index-sh.log.base)%chunkLen)
	if err != nil {
		d.fail(err)
		return
	}
	if !seg.dirty {
		seg.dirty = true
		d.dirty = append(d.dirty, seg)
	}
	_, err = seg.w.Write(appendFrame(seg.w.AvailableBuffer(), sh.log.at(index)))
	d.fail(err)
}

// flushDisk hands what was written to the operating system.
func (st *stream) flushDisk() {
	if st.disk == nil {
		return
	}
	for _, seg := range st.disk.dirty {
		seg.dirty = false
		st.disk.fail(seg.w.Flush())
	}
	st.disk.dirty = st.disk.dirty[:0]
}

// drop removes the chunks of sh from the base to where its log begins now. An
// empty file keeps the place, for sequence numbers must not start again.
func (d *streamDir) drop(sh *shard, base uint64) {
	if d.failed != nil {
		return
	}
	if d.open[sh.number] == nil || d.open[sh.number].base < sh.log.base {
		_, err := d.segment(sh.number, sh.log.base)
		d.fail(err)
	}
	for ; base < sh.log.base; base += chunkLen {
		if err := d.root.Remove(segmentName(sh.number, base)); !errors.Is(err, fs.ErrNotExist) {
			d.fail(err)
		}
	}
}

// closeDisk ends what is under way, so that nothing of it is lost.
func (st *stream) closeDisk() error {
	if st.disk == nil {
		return nil
	}
	if st.then != nil {
		st.then(st.until)
	}
	if st.gone {
		st.removeDisk()
		return nil
	}
	st.status, st.then, st.until = types.StreamStatusActive, nil, time.Time{}
	st.saveMeta()
	return errors.Join(st.disk.closeFiles(), st.disk.root.Close(), st.disk.failed)
}

func (d *streamDir) closeFiles() (err error) {
	for _, seg := range d.open {
		err = errors.Join(err, seg.w.Flush(), seg.file.Close())
	}
	clear(d.open)
	return err
}

// removeDisk removes the folder of a deleted stream.
func (st *stream) removeDisk() {
	if st.disk != nil {
		_ = st.disk.closeFiles()
		_ = st.disk.root.Close()
		st.disk.fail(os.RemoveAll(st.disk.root.Name()))
	}
}

// streamMeta is the contents of stream.json.
type streamMeta struct {
	Created      time.Time
	Distribution types.RecordDistributionStrategy
	Encryption   types.EncryptionType
	KeyID        string `json:",omitempty"`
	MaxRecordKiB int32
	Metrics      []types.MetricsName `json:",omitempty"`
	Mode         types.StreamMode
	Retention    time.Duration
	Tags         map[string]string `json:",omitempty"`
	WarmMiBps    int32             `json:",omitempty"`
	NextShard    uint32
	Shards       []shardMeta
}

type shardMeta struct {
	Number           uint32
	From, To         string
	Parent, Adjacent string `json:",omitempty"`
	Created          int64
	Opened, Closed   time.Time `json:",omitzero"`
}

// saveMeta writes stream.json.
func (st *stream) saveMeta() {
	if st.disk == nil || st.disk.failed != nil {
		return
	}
	m := streamMeta{
		Created: st.created, Distribution: st.distribution, Encryption: st.encryption, KeyID: st.keyID,
		MaxRecordKiB: st.maxRecordKiB, Metrics: st.metrics, Mode: st.mode, Retention: st.retention, Tags: st.tags,
		WarmMiBps: st.warmMiBps, NextShard: st.nextShard,
	}
	for _, sh := range st.shards {
		m.Shards = append(m.Shards, shardMeta{
			Number: sh.number, From: sh.from.String(), To: sh.to.String(), Parent: sh.parent, Adjacent: sh.adjacent,
			Created: sh.created, Opened: sh.opened, Closed: sh.closed,
		})
	}
	raw, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		st.disk.fail(err)
		return
	}
	const unfinished = metaFile + ".tmp"
	if err := st.disk.root.WriteFile(unfinished, raw, 0o600); err != nil {
		st.disk.fail(err)
		return
	}
	st.disk.fail(st.disk.root.Rename(unfinished, metaFile))
}

// loadStream is the opposite of saveMeta, and reads the records. With an error
// it may return a stream, of which only the folder is open.
func (s *Server) loadStream(name string) (*stream, error) {
	st := &stream{name: name, arn: s.arn(name), config: &s.config, status: types.StreamStatusActive}
	if err := s.openDisk(st); err != nil {
		return nil, err
	}
	raw, err := st.disk.root.ReadFile(metaFile)
	if err != nil {
		return st, err
	}
	var m streamMeta
	if err := json.Unmarshal(raw, &m); err != nil {
		return st, err
	}
	st.created, st.distribution, st.encryption, st.keyID = m.Created, m.Distribution, m.Encryption, m.KeyID
	st.maxRecordKiB, st.metrics, st.mode, st.retention = m.MaxRecordKiB, m.Metrics, m.Mode, m.Retention
	st.tags, st.warmMiBps, st.nextShard = m.Tags, m.WarmMiBps, m.NextShard
	if st.tags == nil {
		st.tags = map[string]string{}
	}
	for _, sm := range m.Shards {
		sh, err := st.loadShard(sm)
		if err != nil {
			return st, fmt.Errorf("shard %d: %w", sm.Number, err)
		}
		st.shards = append(st.shards, sh)
		if sh.isOpen() {
			st.open = append(st.open, sh)
		}
	}
	slices.SortFunc(st.open, func(a, b *shard) int { return a.from.compare(b.from) })
	err = st.checkRanges()
	return st, err
}

// checkRanges makes sure that every hash has its shard.
func (st *stream) checkRanges() error {
	next := hashKey{}
	for i, sh := range st.open {
		if sh.from != next || i == len(st.open)-1 && sh.to != maxHashKey {
			return errors.New("open shards do not cover the key space once")
		}
		next = sh.to.next()
	}
	if len(st.open) == 0 {
		return errors.New("no open shards")
	}
	return nil
}

func (st *stream) loadShard(m shardMeta) (*shard, error) {
	from, ok1 := parseHashKey(m.From)
	to, ok2 := parseHashKey(m.To)
	if !ok1 || !ok2 {
		return nil, errors.New("bad hash range")
	}
	sh := &shard{
		id: shardID(m.Number), number: m.Number, from: from, to: to, parent: m.Parent, adjacent: m.Adjacent,
		created: m.Created, opened: m.Opened, closed: m.Closed, log: newRecordLog(),
		write: st.config.Limits.writeThroughput(st.maxRecordKiB), read: st.config.Limits.readThroughput(),
	}
	return sh, st.disk.loadLog(sh)
}
