package window

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("svg", false, "rewrite the curves in docs/img")

// chart is a drawing of lines in one frame.
type chart struct {
	title, x, y string
	maxX, maxY  float64
	lines       []line
}

type line struct {
	name, color, dash string
	points            [][2]float64
}

// The frame within the drawing.
const left, top, width, height = 60, 40, 500, 260

func (c chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		left+width+150, top+height+50)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="14">%s</text>`+"\n", left, c.title)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+width/2, top+height+40, c.x)
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", top+height/2, c.y)
	for i := range 6 {
		x, y := left+width*i/5, top+height-height*i/5
		fmt.Fprintf(&b, `<path d="M%d %dh%d" stroke="#ddd"/>`, left, y, width)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.4g</text>`, left-6, y+4, c.maxY*float64(i)/5)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%.4g</text>`+"\n", x, top+height+18, c.maxX*float64(i)/5)
	}
	for i, l := range c.lines {
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s" d="M`, l.color, l.dash)
		for _, p := range l.points {
			fmt.Fprintf(&b, "%.1f %.1f ", left+width*p[0]/c.maxX, top+height-height*min(p[1]/c.maxY, 1))
		}
		y := top + 14 + 20*i
		fmt.Fprintf(&b, `"/>`+"\n"+`<path d="M%d %dh20" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`,
			left+width+10, y-4, l.color, l.dash)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", left+width+36, y, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const (
	blue, red, gray, green = "#1f6feb", "#d1242f", "#888", "#2da44e"
	dashed                 = "6 4"
)

// randomCurves shows what refusals at random leave of the throughput, for the
// worst of three numbers of keys.
func randomCurves() chart {
	c := chart{
		title: "Refusals at random, latency 20 ms",
		x:     "share of the records that the sink refuses", y: "share of what it takes without refusals",
		maxX: 1, maxY: 1,
		lines: []line{
			{name: "accepted at best", color: gray, dash: dashed},
			{name: "70 % of that", color: green, dash: dashed},
			{name: "accepted", color: blue},
			{name: "additive window", color: red},
			{name: "refused", color: "#9a6700"},
		},
	}
	point := func(i int, x, y float64) { c.lines[i].points = append(c.lines[i].points, [2]float64{x, y}) }
	for percent := 0; percent <= 95; percent += 5 {
		share := float64(percent) / 100
		point(0, share, 1-share)
		point(1, share, 0.7*(1-share))
		var least [2]float64
		for i, algorithm := range []func() pacer{
			func() pacer { return new(Window) },
			func() pacer { return new(additive) },
		} {
			least[i] = math.Inf(1)
			for _, keys := range []int{1, 10, 100} {
				s := scenario{keys: keys, latency: 20 * time.Millisecond, seed: 4}
				least[i] = min(least[i], s.worth(share, algorithm())*(1-share))
			}
			point(2+i, share, least[i])
		}
		s := scenario{keys: 100, latency: 20 * time.Millisecond, span: time.Minute, random: always(share)}
		point(4, share, sum(s.run(new(Window)), 0, s.span).refusedShare())
	}
	return c
}

// limitCurves shows how a limit that changes is followed.
func limitCurves() chart {
	c := chart{
		title: "A limit that changes, 1,000 keys, latency 20 ms",
		x:     "seconds", y: "records per second",
		maxX: 250, maxY: 2500,
		lines: []line{
			{name: "accepted", color: blue},
			{name: "refused", color: red},
			{name: "limit", color: gray, dash: dashed},
		},
	}
	rate := func(now time.Duration) float64 {
		switch {
		case now < 60*time.Second, now >= 120*time.Second && now < 180*time.Second:
			return 1000
		case now < 120*time.Second:
			return 500
		}
		return 2000
	}
	s := scenario{keys: 1000, latency: 20 * time.Millisecond, rate: rate, span: 250 * time.Second}
	bins := s.run(new(Window))
	for at := time.Duration(0); at < s.span; at += time.Second {
		got := sum(bins, at, at+time.Second)
		for i, y := range []float64{float64(got.accepted), float64(got.refused), rate(at)} {
			c.lines[i].points = append(c.lines[i].points, [2]float64{at.Seconds(), y})
		}
	}
	return c
}

// The curves in the documentation are those of this code.
func TestCurves(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func() chart{
		"window-random.svg": randomCurves,
		"window-limit.svg":  limitCurves,
	} {
		file := filepath.Join("..", "..", "docs", "img", name)
		drawn := draw().svg()
		if *rewrite {
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte(drawn), 0o644))
		}
		kept, err := os.ReadFile(file)
		require.NoError(t, err)
		// Elsewhere the last digit of a float may differ.
		if runtime.GOARCH == "amd64" && string(kept) != drawn {
			t.Errorf("%s is not what the code draws: run go test ./internal/window -svg", name)
		}
	}
}
