package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The store maps its files into memory and trusts their pages: a damaged one can
// make it fault, miss keys or walk in circles until the stack is full. So it is
// used for writing only. What follows reads its files page by page and trusts
// nothing: damage is an error, and what is not below a damaged page can still be
// read.
//
// A file is a sequence of pages. A page is a header (id u64, flags u16, count
// u16, overflow u32: how many pages follow that belong to it) and elements of 16
// bytes: in a branch (pos u32, key size u32, child u64), in a leaf (flags u32,
// pos u32, key size u32, value size u32), where pos counts from the element to
// its key. A leaf's value with flag 1 is a bucket: its root page u64 and 8
// bytes; with root 0 its only page follows. The first two pages hold a meta
// each: magic, version, page size, flags u32, root page u64, 8 bytes, free list,
// pages, transaction u64 and the FNV-1a hash of all that; the one with the
// higher transaction counts. Numbers have the machine's byte order.
const (
	pageHeader  = 16
	pageElement = 16
	metaSize    = 56
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	flagBranch  = 1
	flagLeaf    = 2
	flagFree    = 16
	flagBucket  = 1
	bucketSize  = 16
	maxDepth    = 32
	minPage     = 1 << 10
	maxPage     = 64 << 10
)

// tree is the state of a file as of one transaction. The zero tree is empty.
type tree struct {
	file     io.ReaderAt
	pageSize int
	pages    uint64 // that there are
	root     uint64 // page of the tree of buckets
	free     uint64 // page of the list of free pages
	txid     uint64
	worn     bool // one of the two metas is damaged
}

// openTree returns the newest state of a file.
func openTree(f *os.File) (tree, error) {
	info, err := f.Stat()
	if err != nil {
		return tree{}, err
	}
	return readTree(f, info.Size())
}

func readTree(file io.ReaderAt, size int64) (tree, error) {
	t, err := readMeta(file, 0)
	if err == nil {
		if other, err := readMeta(file, int64(t.pageSize)); err != nil {
			t.worn = true
		} else if other.txid > t.txid && other.pageSize == t.pageSize {
			t = other
		}
	} else {
		for at := int64(minPage); at <= maxPage && err != nil; at *= 2 { // it is not known how large pages are
			if t, err = readMeta(file, at); err == nil && int64(t.pageSize) != at {
				err = fmt.Errorf("%w: no meta page", errDamaged)
			}
		}
		t.worn = true
	}
	if err != nil {
		return tree{}, err
	}
	t.pages = min(t.pages, uint64(size)/uint64(t.pageSize))
	return t, nil
}

// size returns how long the file is, as far as it is used.
func (t *tree) size() int64 { return int64(t.pages) * int64(t.pageSize) }

func readMeta(f io.ReaderAt, at int64) (tree, error) {
	var page [pageHeader + metaSize + 8]byte
	if _, err := f.ReadAt(page[:], at); err != nil {
		return tree{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	meta := page[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSize])
	if binary.NativeEndian.Uint32(meta) != metaMagic || binary.NativeEndian.Uint32(meta[4:]) != metaVersion ||
		binary.NativeEndian.Uint64(meta[metaSize:]) != sum.Sum64() {
		return tree{}, fmt.Errorf("%w: no meta page", errDamaged)
	}
	size := int(binary.NativeEndian.Uint32(meta[8:]))
	if size < minPage || size > maxPage {
		return tree{}, fmt.Errorf("%w: pages of %d bytes", errDamaged, size)
	}
	return tree{
		file: f, pageSize: size, root: binary.NativeEndian.Uint64(meta[16:]),
		free: binary.NativeEndian.Uint64(meta[32:]), pages: binary.NativeEndian.Uint64(meta[40:]),
		txid: binary.NativeEndian.Uint64(meta[48:]),
	}, nil
}

// bucket returns the page that a bucket's tree begins with.
func (t *tree) bucket(name []byte) (page []byte, err error) {
	root, err := t.page(t.root)
	if err != nil {
		return nil, err
	}
	w := walk{tree: t, from: name, yield: func(key, value []byte, flags uint32) bool {
		if !bytes.Equal(key, name) || flags != flagBucket || len(value) < bucketSize {
			return false
		}
		if root := binary.NativeEndian.Uint64(value); root != 0 {
			page, err = t.page(root)
		} else if inline := value[bucketSize:]; len(inline) >= pageHeader {
			page = inline
		}
		return false
	}}
	if w.page(root, nil, nil, 0); err == nil && page == nil {
		err = fmt.Errorf("%w: there is no bucket %q", errDamaged, name)
	}
	return page, err
}

// ascend calls yield for the keys of a bucket from the given one on, in order,
// until it returns false. Keys below a damaged page are left out; the first such
// damage is returned at the end. The slices may be kept.
func (t *tree) ascend(name, from []byte, yield func(key, value []byte) bool) error {
	page, err := t.bucket(name)
	if err != nil {
		return err
	}
	w := walk{tree: t, from: from, yield: func(key, value []byte, _ uint32) bool { return yield(key, value) }}
	w.page(page, nil, nil, 0)
	return w.damage
}

// last returns the highest key of a bucket that can be read, nil if there is
// none, and what is damaged on the way to it.
func (t *tree) last(name []byte) (key []byte, err error) {
	page, err := t.bucket(name)
	if err != nil {
		return nil, err
	}
	w := walk{tree: t, backward: true, yield: func(k, _ []byte, _ uint32) bool {
		key = k
		return false
	}}
	w.page(page, nil, nil, 0)
	return key, w.damage
}

// page returns a page with what overflows it.
func (t *tree) page(id uint64) ([]byte, error) {
	if id < 2 || id >= t.pages {
		return nil, fmt.Errorf("%w: there is no page %d", errDamaged, id)
	}
	at := int64(id) * int64(t.pageSize)
	var head [pageHeader]byte
	if _, err := t.file.ReadAt(head[:], at); err != nil {
		return nil, fmt.Errorf("%w: page %d: %w", errDamaged, id, err)
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head[:]) != id || id+more >= t.pages {
		return nil, fmt.Errorf("%w: page %d has another's header", errDamaged, id)
	}
	page := make([]byte, (int(more)+1)*t.pageSize)
	if _, err := t.file.ReadAt(page, at); err != nil {
		return nil, fmt.Errorf("%w: page %d: %w", errDamaged, id, err)
	}
	return page, nil
}

// walk goes through a tree in the order of the keys.
type walk struct {
	tree     *tree
	from     []byte // where to begin
	backward bool   // from the end to the beginning instead
	yield    func(key, value []byte, flags uint32) bool
	damage   error // the first that was met
}

// page visits a page and what is below it, whose keys are not less than low and
// less than high, which is nil for no bound. It returns false when that is
// enough.
func (w *walk) page(page, low, high []byte, depth int) bool {
	list, flags, err := elements(page, low, high, w.tree.pageSize)
	if err != nil || depth > maxDepth {
		return w.damaged(err)
	}
	for n := range list {
		i := n
		if w.backward {
			i = len(list) - 1 - n
		}
		e, next := list[i], high
		if i+1 < len(list) {
			next = list[i+1].key
		}
		switch {
		case flags == flagLeaf:
			if bytes.Compare(e.key, w.from) >= 0 && !w.yield(e.key, e.value, e.flags) {
				return false
			}
		case next == nil || bytes.Compare(next, w.from) > 0:
			child, err := w.tree.page(e.child)
			if err != nil {
				w.damaged(err)
			} else if !w.page(child, e.key, next, depth+1) {
				return false
			}
		}
	}
	return true
}

func (w *walk) damaged(err error) bool {
	if err == nil {
		err = fmt.Errorf("%w: the tree is too deep", errDamaged)
	}
	if w.damage == nil {
		w.damage = err
	}
	return true
}

// entry is an element of a page.
type entry struct {
	key   []byte
	value []byte // of a leaf
	flags uint32 // of a leaf
	child uint64 // of a branch
}

// elements returns the elements of a page, checking that they lie in it, fill it
// as the store would, and are in order and between the bounds.
func elements(page, low, high []byte, pageSize int) ([]entry, uint16, error) {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	used := pageHeader + count*pageElement
	if flags != flagBranch && flags != flagLeaf || used > len(page) {
		return nil, 0, fmt.Errorf("%w: a page of an unknown kind", errDamaged)
	}
	list := make([]entry, count)
	for i := range list {
		e, err := element(page, pageHeader+i*pageElement, flags)
		if err != nil {
			return nil, 0, err
		}
		if bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 ||
			i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return nil, 0, fmt.Errorf("%w: keys are out of order", errDamaged)
		}
		list[i] = e
		used += len(e.key) + len(e.value)
	}
	if overflow := int(binary.NativeEndian.Uint32(page[12:])); used > len(page) || overflow > 0 && used <= overflow*pageSize {
		return nil, 0, fmt.Errorf("%w: a page of a wrong size", errDamaged)
	}
	return list, flags, nil
}

// element returns the element at an offset of a page.
func element(page []byte, at int, flags uint16) (e entry, err error) {
	raw := page[at : at+pageElement]
	pos, ksize := binary.NativeEndian.Uint32(raw), binary.NativeEndian.Uint32(raw[4:])
	vsize := uint32(0)
	if flags == flagLeaf {
		e.flags = pos
		pos, ksize, vsize = ksize, binary.NativeEndian.Uint32(raw[8:]), binary.NativeEndian.Uint32(raw[12:])
	} else {
		e.child = binary.NativeEndian.Uint64(raw[8:])
	}
	from := uint64(at) + uint64(pos)
	if from+uint64(ksize)+uint64(vsize) > uint64(len(page)) {
		return entry{}, fmt.Errorf("%w: an element points behind its page", errDamaged)
	}
	rest := page[from:]
	e.key, e.value = rest[:ksize:ksize], rest[ksize:ksize+vsize:ksize+vsize]
	return e, nil
}

// check looks at every page that the store will use when it puts keys into a
// bucket: it must not meet damage.
func (t *tree) check(name []byte, keys [][]byte) error {
	page, err := t.bucket(name)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := t.checkPath(page, key, nil, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) checkPath(page, key, low, high []byte, depth int) error {
	list, flags, err := elements(page, low, high, t.pageSize)
	if err != nil || flags == flagLeaf {
		return err
	}
	if len(list) == 0 || depth > maxDepth {
		return fmt.Errorf("%w: the tree is too deep", errDamaged)
	}
	i := 0
	for i+1 < len(list) && bytes.Compare(list[i+1].key, key) <= 0 {
		i++
	}
	if i+1 < len(list) {
		high = list[i+1].key
	}
	child, err := t.page(list[i].child)
	if err != nil {
		return err
	}
	return t.checkPath(child, key, list[i].key, high, depth+1)
}

// checkFree looks at the list of free pages, which the store frees with each
// transaction.
func (t *tree) checkFree() error {
	page, err := t.page(t.free)
	if err != nil {
		return err
	}
	count := int(binary.NativeEndian.Uint16(page[10:]))
	if need := (pageHeader + 8*count + t.pageSize - 1) / t.pageSize; binary.NativeEndian.Uint16(page[8:]) != flagFree ||
		count < 0xFFFF && (need > len(page)/t.pageSize || need+2 < len(page)/t.pageSize) {
		return fmt.Errorf("%w: the list of free pages", errDamaged)
	}
	return nil
}
