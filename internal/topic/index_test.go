package topic_test

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/topic"
)

type pair struct {
	filter string
	value  int
}

func seq(pairs []pair) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, p := range pairs {
			if !yield(p.filter, p.value) {
				return
			}
		}
	}
}

func wanted(pairs []pair, name string) []int {
	var want []int
	for _, p := range pairs {
		if naive(p.filter, name) {
			want = append(want, p.value)
		}
	}
	slices.Sort(want)
	return want
}

func found(x *topic.Index[int], name string) []int {
	got := x.Append(nil, name)
	slices.Sort(got)
	return got
}

// TestIndexLikeNaive grows and shrinks an index step by step. After each step
// the new index and a snapshot of an earlier one find what a list of pairs does.
func TestIndexLikeNaive(t *testing.T) {
	t.Parallel()
	pairGen := rapid.Custom(func(t *rapid.T) pair {
		f := filters.Filter(func(s string) bool { return s != "" }).Draw(t, "filter")
		return pair{f, rapid.IntRange(0, 3).Draw(t, "value")}
	})
	rapid.Check(t, func(t *rapid.T) {
		pairs := rapid.SliceOfN(pairGen, 0, 20).Draw(t, "pairs")
		x := topic.NewIndex(seq(pairs))
		snapshot, snapshotPairs := x, slices.Clone(pairs)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			p := pairGen.Draw(t, "pair")
			i := slices.Index(pairs, p)
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				pairs, x = append(pairs, p), x.With(p.filter, p.value)
			case 1:
				if len(pairs) > 0 {
					p = rapid.SampledFrom(pairs).Draw(t, "old")
					i = slices.Index(pairs, p)
				}
				fallthrough
			case 2:
				x = x.Without(p.filter, p.value)
				if i >= 0 {
					pairs = slices.Delete(pairs, i, i+1)
				}
			default:
				snapshot, snapshotPairs = x, slices.Clone(pairs)
			}
			name := names.Draw(t, "name")
			require.Equal(t, len(pairs), x.Len())
			require.Equal(t, wanted(pairs, name), found(x, name), name)
			require.Equal(t, wanted(snapshotPairs, name), found(snapshot, name), name)
		}
	})
}

// TestIndexLarge goes through tables of several levels, both ways.
func TestIndexLarge(t *testing.T) {
	t.Parallel()
	const n = 20_000
	x := topic.NewIndex[int](nil)
	for i := range n {
		x = x.With(fmt.Sprintf("dev/%d/temp", i), i)
	}
	full := x
	for i := range n {
		require.Equal(t, []int{i}, x.Append(nil, fmt.Sprintf("dev/%d/temp", i)))
		x = x.Without(fmt.Sprintf("dev/%d/temp", i), i)
		require.Empty(t, x.Append(nil, fmt.Sprintf("dev/%d/temp", i)))
	}
	require.Zero(t, x.Len())
	require.Same(t, x, x.Without("dev/1/temp", 1))
	require.Equal(t, []int{7}, full.Append(nil, "dev/7/temp"))
}

func TestIndexAppendDoesNotAllocate(t *testing.T) {
	x := topic.NewIndex(seq(deviceFilters(1000)))
	x = x.With("+/+/temp", -1).With("#", -2).With("site/#", -3)
	dst := make([]int, 0, 16)
	require.Len(t, x.Append(dst, "site/500/temp"), 4)
	require.Zero(t, testing.AllocsPerRun(100, func() { x.Append(dst, "site/500/temp") }))
}

// TestIndexWithCopiesLittle bounds what one more filter costs beside many: an
// index that copied them all would need megabytes.
func TestIndexWithCopiesLittle(t *testing.T) {
	x := topic.NewIndex(seq(deviceFilters(100_000)))
	res := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			x.With("site/new/temp", 1)
		}
	})
	require.Less(t, res.AllocedBytesPerOp(), int64(16<<10))
}

func deviceFilters(n int) []pair {
	pairs := make([]pair, n)
	for i := range n {
		pairs[i] = pair{"site/" + strconv.Itoa(i) + "/temp", i}
	}
	return pairs
}

func BenchmarkIndexAppend(b *testing.B) {
	wildcards := func(n int) []pair {
		pairs := make([]pair, n)
		for i := range n {
			pairs[i] = pair{[]string{"+/+/x", "+/y", "z"}[i%3] + strconv.Itoa(i) + []string{"/#", "/+", ""}[i%3], i}
		}
		return append(pairs, pair{"+/50/+", -1})
	}
	for name, filters := range map[string]func(int) []pair{"literal": deviceFilters, "wildcards": wildcards} {
		for _, n := range []int{1, 100, 100_000} {
			x := topic.NewIndex(seq(append(filters(n), pair{"site/50/temp", -2})))
			dst := make([]int, 0, 16)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					dst = x.Append(dst[:0], "site/50/temp")
				}
			})
		}
	}
}

func BenchmarkIndexWith(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		x := topic.NewIndex(seq(deviceFilters(n)))
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.With("site/new/temp", 1)
			}
		})
	}
}

func BenchmarkNewIndex(b *testing.B) {
	pairs := deviceFilters(100_000)
	for b.Loop() {
		topic.NewIndex(seq(pairs))
	}
}

// A value that matches through several filters is found several times; sorting
// puts the values into an order of the caller's choice, too.
func ExampleIndex() {
	x := topic.NewIndex[int](nil).With("t/#", 1).With("t/+", 1).With("#", 0).With("u", 2)
	found := x.Append(nil, "t/1")
	slices.Sort(found)
	fmt.Println(slices.Compact(found))
	// Output: [0 1]
}
