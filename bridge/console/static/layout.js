// Where the nodes of the graph stand.

const weight = { source: 0.9, filter: 0.98, rule: 1.04, action: 1.04, sink: 1.08 };
const head = 30, arcs = 24; // above the columns; right of the sinks, for the lines to fallbacks
export const smallest = 27; // from one row of a dense column to the next

// roomFor is how many nodes a column can have within a height.
export const roomFor = (height) => Math.max(8, Math.floor((height - head) / smallest));

// A column is roomy (two lines), plain (one line) or dense, by how much room its
// nodes have.
function modeOf(count, height) {
  const pitch = height / Math.max(1, count);
  if (pitch >= 70) return { mode: 'roomy', pitch: Math.min(pitch, 92), tall: { source: 60, filter: 34, rule: 60, action: 52, sink: 60 } };
  if (pitch >= 41) return { mode: 'plain', pitch: Math.min(pitch, 50), tall: { source: 34, filter: 30, rule: 34, action: 32, sink: 34 } };
  return { mode: 'dense', pitch: smallest, tall: { source: 23, filter: 22, rule: 23, action: 22, sink: 23 } };
}

// place gives every node x, y, w, h and returns the height that is needed.
export function place(m, width, height) {
  const dense = m.columns.some((c) => (height - head) / Math.max(1, c.nodes.length) < 41);
  const gap = Math.min(96, Math.max(34, width * (dense ? 0.042 : 0.062)));
  const sum = m.columns.reduce((n, c) => n + weight[c.kind], 0);
  const unit = (width - arcs - gap * (m.columns.length - 1)) / sum;
  let x = 0, tallest = 160;
  for (const c of m.columns) {
    Object.assign(c, { x, w: unit * weight[c.kind] }, modeOf(c.nodes.length, height - head));
    x += c.w + gap;
    tallest = Math.max(tallest, c.nodes.length * c.pitch);
  }
  settleAll(m, tallest);
  for (const c of m.columns) {
    for (const n of c.nodes) Object.assign(n, { x: c.x, w: c.w, h: c.tall[c.kind], mode: c.mode, slim: c.mode === 'roomy' && c.w < 172, y: head + n.mid - c.tall[c.kind] / 2 });
  }
  const source = m.columns[0], bar = { x: source.x + source.w + gap * 0.5 };
  const mids = m.edges.filter((e) => e.from === 'topics' || e.to === 'topics').map((e) => m.nodes.get(e.to === 'topics' ? e.from : e.to)).map((n) => n.y + n.h / 2);
  if (mids.length) Object.assign(bar, { y: Math.min(...mids) - 12, h: Math.max(...mids) - Math.min(...mids) + 24 });
  return { gap, bar, height: head + tallest + 4 };
}

// settleAll starts with the fullest column, evenly spread, and puts the nodes of
// the others beside what they are connected with.
function settleAll(m, tallest) {
  const first = m.columns.reduce((best, c, i) => (c.nodes.length * c.pitch > m.columns[best].nodes.length * m.columns[best].pitch ? i : best), 0);
  m.columns[first].nodes.forEach((n, i) => { n.mid = (i + 0.5) * tallest / m.columns[first].nodes.length; });
  const beside = new Map();
  const link = (a, b) => { if (!beside.has(a)) beside.set(a, []); beside.get(a).push(b); };
  const heads = m.edges.filter((e) => e.from === 'topics').map((e) => e.to);
  for (const e of m.edges) {
    if (e.fallback || e.from === 'topics') continue;
    const ends = e.to === 'topics' ? heads : [e.to];
    for (const to of ends) { link(e.from, to); link(to, e.from); }
  }
  const settle = (c) => {
    const want = c.nodes.map((n) => {
      const known = (beside.get(n.id) ?? []).map((id) => m.nodes.get(id)?.mid).filter((y) => y !== undefined);
      return known.length ? known.reduce((a, b) => a + b) / known.length : null;
    });
    spread(c, want, tallest);
  };
  for (let i = first + 1; i < m.columns.length; i++) settle(m.columns[i]);
  for (let i = first - 1; i >= 0; i--) settle(m.columns[i]);
}

// spread keeps the order of a column's nodes and their distance, near to where
// each wants to be.
function spread(c, want, tallest) {
  const half = c.pitch / 2, count = c.nodes.length;
  let y = -half;
  c.nodes.forEach((n, i) => { y = n.mid = Math.max(want[i] ?? y + c.pitch, y + c.pitch); });
  let floor = tallest + half;
  for (let i = count - 1; i >= 0; i--) floor = c.nodes[i].mid = Math.min(c.nodes[i].mid, floor - c.pitch);
}

// curve is the path of an edge: its four control points.
export function curve(e, l, nodes) {
  const a = nodes.get(e.from), b = nodes.get(e.to);
  if (e.fallback) {
    const x = a.x + a.w, y1 = a.y + a.h / 2, y2 = b.y + b.h / 2, bend = Math.min(22, 8 + Math.abs(y1 - y2) / 12);
    return [x, y1, x + bend, y1, x + bend, y2, x, y2];
  }
  const y1 = a ? a.y + a.h / 2 : b.y + b.h / 2, y2 = b ? b.y + b.h / 2 : y1;
  const x1 = a ? a.x + a.w : l.bar.x + 4, x2 = b ? b.x : l.bar.x, mid = (x1 + x2) / 2;
  return [x1, y1, mid, y1, mid, y2, x2, y2];
}
