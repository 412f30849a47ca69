package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// The store trusts its pages: a damaged one can make it fail, miss keys or walk
// in circles for ever. So the tree of a file from an earlier run is verified
// before it is used, by what follows, which trusts nothing but the store's
// checksummed meta page.
//
// A page is a header (id u64, flags u16, count u16, overflow u32) and elements of
// 16 bytes: in a branch (pos u32, key size u32, child u64), in a leaf (flags u32,
// pos u32, key size u32, value size u32), where pos counts from the element to
// its key. Numbers have the machine's byte order. A leaf's value with flag 1 is
// a bucket: its root page u64 and 8 bytes; with root 0 its only page follows.
const (
	pageHeader  = 16
	pageElement = 16
	flagBranch  = 1
	flagLeaf    = 2
	flagBucket  = 1
	bucketSize  = 16
	maxDepth    = 32
)

type verifier struct {
	file     *os.File
	pageSize int
	pages    uint64 // in the file
	seen     map[uint64]bool
}

// verify checks the tree of an open file.
func verify(path string, db *bolt.DB) error {
	var root uint64
	err := db.View(func(tx *bolt.Tx) error {
		root = uint64(tx.Cursor().Bucket().Root())
		return nil
	})
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	v := verifier{file: f, pageSize: db.Info().PageSize, seen: make(map[uint64]bool)}
	v.pages = uint64(info.Size()) / uint64(v.pageSize)
	return v.walk(root, nil, nil, 0)
}

// walk checks the page and what is below it. Its keys are not less than low and
// less than high, which is nil for no bound.
func (v *verifier) walk(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth || id < 2 || v.seen[id] {
		return fmt.Errorf("%w: page %d is reached twice", errDamaged, id)
	}
	v.seen[id] = true
	page, err := v.read(id)
	if err != nil {
		return err
	}
	return v.elements(page, low, high, depth)
}

// read returns the page with what overflows it.
func (v *verifier) read(id uint64) ([]byte, error) {
	head := make([]byte, v.pageSize)
	if id >= v.pages {
		return nil, fmt.Errorf("%w: page %d is behind the end", errDamaged, id)
	}
	at := int64(id) * int64(v.pageSize)
	if _, err := v.file.ReadAt(head, at); err != nil {
		return nil, err
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head) != id || id+more >= v.pages {
		return nil, fmt.Errorf("%w: page %d has another's header", errDamaged, id)
	}
	if more == 0 {
		return head, nil
	}
	page := make([]byte, (int(more)+1)*v.pageSize)
	_, err := v.file.ReadAt(page, at)
	return page, err
}

// elements checks the elements of a page, the order of their keys, and the pages
// that they lead to.
func (v *verifier) elements(page, low, high []byte, depth int) error {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != flagBranch && flags != flagLeaf || pageHeader+count*pageElement > len(page) {
		return fmt.Errorf("%w: a page of an unknown kind", errDamaged)
	}
	var keys, values [][]byte
	for i := range count {
		key, value, err := element(page, pageHeader+i*pageElement, flags)
		if err != nil {
			return err
		}
		if n := len(keys); bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 ||
			n > 0 && bytes.Compare(keys[n-1], key) >= 0 {
			return fmt.Errorf("%w: keys are out of order", errDamaged)
		}
		keys, values = append(keys, key), append(values, value)
	}
	for i, key := range keys {
		at := pageHeader + i*pageElement
		var err error
		switch {
		case flags == flagBranch:
			next := high
			if i+1 < count {
				next = keys[i+1]
			}
			err = v.walk(binary.NativeEndian.Uint64(page[at+8:]), key, next, depth+1)
		case binary.NativeEndian.Uint32(page[at:]) == flagBucket:
			err = v.bucket(values[i], depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// element returns the key and value of the element at an offset of a page.
func element(page []byte, at int, flags uint16) (key, value []byte, err error) {
	e := page[at : at+pageElement]
	pos, ksize := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
	vsize := uint32(0)
	if flags == flagLeaf {
		pos, ksize, vsize = ksize, binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
	}
	from := uint64(at) + uint64(pos)
	if from+uint64(ksize)+uint64(vsize) > uint64(len(page)) {
		return nil, nil, fmt.Errorf("%w: an element points behind its page", errDamaged)
	}
	rest := page[from:]
	return rest[:ksize], rest[ksize : ksize+vsize], nil
}

func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < bucketSize {
		return fmt.Errorf("%w: a bucket without a root", errDamaged)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.walk(root, nil, nil, depth+1)
	}
	if len(value) < bucketSize+pageHeader {
		return fmt.Errorf("%w: a bucket without a page", errDamaged)
	}
	return v.elements(value[bucketSize:], nil, nil, depth+1)
}
