package kinesistest

type disk struct{}
type streamDir struct{}

func (s *Server) load() error            { return nil }
func (s *Server) openDisk(*stream) error { return nil }
func (st *stream) closeDisk() error      { return nil }
func (st *stream) removeDisk()           {}
func (st *stream) saveMeta()             {}
func (st *stream) flushDisk()            {}
func (st *stream) logDisk(*shard)        {}
func (d *streamDir) drop(*shard, uint64) {}
