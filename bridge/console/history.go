package console

// History is the recent past, by columns: the n-th number of each belongs to the
// n-th of Times.
type History struct {
	Times   []int64                  `json:"times"` // Unix, milliseconds
	Sources map[string]SourceHistory `json:"sources"`
	Rules   map[string]RuleHistory   `json:"rules"`
	Sinks   map[string]SinkHistory   `json:"sinks"`
}

// SourceHistory is the recent past of a source, per second.
type SourceHistory struct {
	Rate  []float64 `json:"rate"`
	Bytes []float64 `json:"bytes"`
}

// RuleHistory is the recent past of a rule, in messages and records per second.
type RuleHistory struct {
	Matched    []float64 `json:"matched"`
	Passed     []float64 `json:"passed"`
	Exceptions []float64 `json:"exceptions"`
	Records    []float64 `json:"records"`
}

// SinkHistory is the recent past of a sink: records and bytes in its queue,
// records per second, and latencies in milliseconds.
type SinkHistory struct {
	Queued  []float64 `json:"queued"`
	Bytes   []float64 `json:"bytes"`
	Rate    []float64 `json:"rate"`
	Stored  []float64 `json:"stored"`
	Failed  []float64 `json:"failed"`
	Retried []float64 `json:"retried"`
	P50     []float64 `json:"p50"`
	P95     []float64 `json:"p95"`
	P99     []float64 `json:"p99"`
}

func pointOf(snap *Snapshot) point {
	p := point{
		at:      snap.Time,
		sources: make(map[string][2]float64, len(snap.Sources)),
		rules:   make(map[string][4]float64, len(snap.Rules)),
		sinks:   make(map[string][9]float64, len(snap.Sinks)),
	}
	for name, s := range snap.Sources {
		p.sources[name] = [...]float64{s.Rate, s.BytesRate}
	}
	for name, r := range snap.Rules {
		p.rules[name] = [...]float64{r.Rate, r.PassedRate, r.ExceptionRate, r.ActionsRate}
	}
	for name, s := range snap.Sinks {
		p.sinks[name] = [...]float64{
			float64(s.Queuing + s.Inflight), float64(s.QueuingBytes), s.Rate, s.StoredRate, s.FailedRate, s.RetriedRate,
			s.Latency.P50, s.Latency.P95, s.Latency.P99,
		}
	}
	return p
}

// past returns the history of the parts that there are now.
func (h *hub) past() History {
	h.mu.Lock()
	points := append([]point(nil), h.history...)
	h.mu.Unlock()
	out := History{
		Times: []int64{}, Sources: map[string]SourceHistory{},
		Rules: map[string]RuleHistory{}, Sinks: map[string]SinkHistory{},
	}
	if len(points) == 0 {
		return out
	}
	for _, p := range points {
		out.Times = append(out.Times, p.at.UnixMilli())
	}
	last := points[len(points)-1]
	for name := range last.sources {
		c := columns(points, 2, func(p point) []float64 { v := p.sources[name]; return v[:] })
		out.Sources[name] = SourceHistory{c[0], c[1]}
	}
	for name := range last.rules {
		c := columns(points, 4, func(p point) []float64 { v := p.rules[name]; return v[:] })
		out.Rules[name] = RuleHistory{c[0], c[1], c[2], c[3]}
	}
	for name := range last.sinks {
		c := columns(points, 9, func(p point) []float64 { v := p.sinks[name]; return v[:] })
		out.Sinks[name] = SinkHistory{c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]}
	}
	return out
}

// columns turns rows of n numbers into n columns.
func columns(points []point, n int, row func(point) []float64) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, len(points))
	}
	for i, p := range points {
		for j, v := range row(p) {
			out[j][i] = v
		}
	}
	return out
}
