//go:build linux

package hostile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
)

// fromSpool damages the files of a buffer, opens it and reads what is left, and
// then something new.
func fromSpool(damage func(dir string, files []string)) func() func() string {
	return func() func() string {
		dir, err := os.MkdirTemp("", "hostile")
		must(err)
		cfg := spool.Config{Dir: dir, MaxBytes: 64 << 20, Logger: quiet}
		buf, err := spool.Open(cfg)
		must(err)
		sink := buf.Sink()
		for i := range 50 {
			must(sink.Write(context.Background(), recordsOf(i*20, 20)))
		}
		must(buf.Close())
		files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		must(err)
		damage(dir, files)
		return func() string {
			defer os.RemoveAll(dir)
			buf, err := spool.Open(cfg)
			if err != nil {
				return err.Error()
			}
			defer buf.Close()
			if err := buf.Sink().Write(context.Background(), recordsOf(5000, 1)); err != nil {
				return "the next record is not stored: " + err.Error()
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience/2)
			defer cancel()
			source, msgs, n := buf.Source(), make([]bridge.Message, 64), 0
			for {
				got, err := source.Read(ctx, msgs)
				if err != nil {
					return "the next record does not come: " + err.Error()
				}
				for i := range msgs[:got] {
					n++
					msgs[i].Delivery.Done(bridge.Stored, nil)
					if bytes.HasPrefix(msgs[i].Payload, []byte("5000 ")) {
						return fmt.Sprintf("%d records, %d damaged files", n, buf.Stats().DamagedFiles)
					}
				}
			}
		}
	}
}

func recordsOf(from, n int) *bridge.Batch {
	b := new(bridge.Batch)
	for i := range n {
		b.Add(bridge.Record{Key: []byte("k"), Data: append(fmt.Appendf(nil, "%d ", from+i), make([]byte, 200)...), Topic: "t"})
	}
	return b
}

// spoolRows are files of a buffer that a broken disk, or somebody else, has written to.
func spoolRows() []row {
	s := func(name string, damage func(dir string, files []string), answer string, short bool) row {
		return row{boundary: spoolFile, name: name, short: short, answer: answer, prepare: fromSpool(damage)}
	}
	const pages = 4096
	// each page but the first two
	each := func(change func(page []byte, number int)) func(string, []string) {
		return func(_ string, files []string) {
			for _, path := range files {
				data, err := os.ReadFile(path)
				must(err)
				for at := 2 * pages; at+pages <= len(data); at += pages {
					change(data[at:at+pages], at/pages)
				}
				must(os.WriteFile(path, data, 0o600))
			}
		}
	}
	native := binary.NativeEndian
	const some = `\d+ records, \d+ damaged files`
	rows := []row{
		s("nothing", func(string, []string) {}, "1001 records, 0 damaged files", true),
		s("overflow without end", each(func(p []byte, _ int) { native.PutUint32(p[12:], 1<<30) }), some, true),
		s("pages that lead to themselves", each(func(p []byte, n int) {
			if native.Uint16(p[8:]) == 1 {
				for i := range min(int(native.Uint16(p[10:])), 250) {
					native.PutUint64(p[16+i*16+8:], uint64(n))
				}
			}
		}), some, true),
		s("pages that lead to each other", each(func(p []byte, n int) {
			native.PutUint16(p[8:], 1)
			native.PutUint16(p[10:], 200)
			for i := range 200 {
				native.PutUint64(p[16+i*16+8:], uint64(2+(n+i)%20))
			}
		}), some, true),
		s("65,535 elements in each page", each(func(p []byte, _ int) { native.PutUint16(p[10:], 0xffff) }), some, false),
		s("elements of 4 GB", each(func(p []byte, _ int) {
			for i := range 100 {
				native.PutUint32(p[16+i*16+8:], 0xffffffff)
				native.PutUint32(p[16+i*16+12:], 0xffffffff)
			}
		}), some, false),
		s("pages of ones", each(func(p []byte, _ int) { copy(p, bytes.Repeat([]byte{0xff}, pages)) }), some, false),
		s("pages of zeros", each(func(p []byte, _ int) { clear(p) }), some, false),
		s("a head of ones", func(_ string, files []string) {
			f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
			must(err)
			_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 2*pages), 0)
			must(err)
			must(f.Close())
		}, some, true),
		s("a file of a terabyte of nothing", func(dir string, files []string) {
			must(os.Truncate(files[0], 1<<40))
			must(os.WriteFile(filepath.Join(dir, "99999999999999999999.seg"), nil, 0o600))
		}, some+"|.*file.*", false),
		s("a terabyte of nothing alone", func(dir string, files []string) {
			for _, f := range files {
				must(os.Remove(f))
			}
			path := filepath.Join(dir, filepath.Base(files[0]))
			must(os.WriteFile(path, nil, 0o600))
			must(os.Truncate(path, 1<<40))
		}, some+"|.*file.*", false),
		s("1,000 files of noise", func(dir string, _ []string) {
			noise := make([]byte, 8*pages)
			for i := range 1000 {
				_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(noise)
				must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.seg", 100_000+i)), noise, 0o600))
			}
		}, some, false),
		s("a lock of a gigabyte", func(dir string, _ []string) {
			must(os.Truncate(filepath.Join(dir, "lock"), 1<<30))
		}, some+"|.*lock.*", false),
		s("a file that is a directory", func(dir string, files []string) {
			must(os.Remove(files[0]))
			must(os.Mkdir(files[0], 0o700))
		}, ".+", false),
		s("a file that is a pipe of nobody", func(dir string, files []string) {
			must(os.Remove(files[0]))
			must(os.Symlink("/dev/zero", files[0]))
		}, ".+", false),
	}
	for seed := range uint64(30) {
		rows = append(rows, s(fmt.Sprint("noise in the pages, seed ", seed), func(_ string, files []string) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			for _, path := range files {
				data, err := os.ReadFile(path)
				must(err)
				for range 200 {
					at := rnd.IntN(len(data))
					if seed%2 == 0 {
						at = at/pages*pages + rnd.IntN(48)
					}
					data[min(at, len(data)-1)] ^= byte(1 + rnd.IntN(255))
				}
				must(os.WriteFile(path, data, 0o600))
			}
		}, some, false))
	}
	return rows
}
