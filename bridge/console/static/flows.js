// The way of the messages, as a graph: sources, topic filters, rules, sinks.
import { ago, clock, compact, h, hasTime, mark, millis, rate, setAttr, setLevel, setText } from './dom.js';
import { level, problemsOf, store } from './store.js';

export function flows(root) {
  const problems = h('section', { class: 'problems', 'aria-label': 'What needs attention' });
  const canvas = h('div', { class: 'graph' });
  root.append(h('h1', { class: 'unseen' }, 'Flows'), problems, canvas);
  let graph = null, width = 0;
  const build = () => {
    graph = draw(canvas, store.topology, width);
    graph.update();
  };
  const resize = new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 2) return;
    width = entry.contentRect.width; // without the padding
    build();
  });
  resize.observe(canvas);
  return {
    rebuild() { if (width) build(); },
    update() { listProblems(problems); graph?.update(); },
    close() { resize.disconnect(); },
  };
}

const inSight = 4; // problems that are shown without asking for more

// listProblems says in words what is wrong; the elements stay while the problems do.
export function listProblems(box, only = () => true) {
  const list = store.snapshot.problems.filter(only);
  const key = JSON.stringify(list.map((p) => [p.kind, p.name, p.title, p.severity]));
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    const all = list.map(problem), more = all.splice(inSight);
    box.replaceChildren(...(list.length ? all : [h('p', { class: 'calm' }, mark('ok'), calm())]));
    if (more.length) box.append(h('details', { class: 'more' }, h('summary', {}, `${more.length} more`), more));
  }
  const shown = box.querySelectorAll('.problem');
  list.forEach((p, i) => {
    const [, since, reason, effect] = shown[i].querySelectorAll('[data-part]');
    setText(since, hasTime(p.since) ? `${p.at_least ? 'for at least' : 'for'} ${ago(p.since, store.snapshot.time)}, since ${clock(p.since)}` : '');
    setText(reason, p.reason ?? '');
    setText(effect, p.effect ?? '');
  });
}

function calm() {
  const t = store.topology;
  const received = Object.values(store.snapshot.sources).reduce((n, s) => n + s.received, 0);
  if (!t.rules.length) return 'There are no rules yet. Messages are received and none is wanted.';
  return received ? 'All is well. Nothing is stuck.' : 'All is well. No message has arrived yet.';
}

function problem(p) {
  return h('article', { class: 'problem ' + p.severity },
    mark(p.severity === 'blocked' ? 'bad' : 'warn', 16),
    h('div', {},
      h('p', {}, h('strong', { 'data-part': 'what' }, `${p.kind[0].toUpperCase() + p.kind.slice(1)} `,
        p.kind === 'source' ? p.name : h('a', { href: `#/${p.kind}s/${encodeURIComponent(p.name)}` }, p.name), ' ' + p.title),
      ' ', h('span', { class: 'since', 'data-part': 'since' })),
      h('p', { class: 'reason', 'data-part': 'reason' }), h('p', { class: 'effect', 'data-part': 'effect' })));
}

// layout gives every node a place. All sources feed one tree of topics, which the
// bar between sources and filters stands for.
function layout(t, width) {
  const narrow = width < 700;
  const filters = narrow ? [] : [...new Set(t.rules.flatMap((r) => r.filters))];
  const tallest = Math.max(t.rules.length, filters.length, t.sinks.length, t.sources.length, 1);
  const row = tallest > 24 ? 24 : tallest > 9 ? 36 : 74, gap = tallest > 24 ? 4 : tallest > 9 ? 8 : 16;
  const columns = [{ kind: 'source', share: 0.15, names: t.sources.map((s) => s.name) }];
  if (!narrow) columns.push({ kind: 'filter', share: 0.19, names: filters });
  columns.push({ kind: 'rule', share: 0.2, names: t.rules.map((r) => r.name) }, { kind: 'sink', share: 0.21, names: inOrder(t) });
  if (narrow) { columns[0].share = 0.24; columns[1].share = 0.29; columns[2].share = 0.31; }
  const used = columns.reduce((n, c) => n + c.share, 0) * width;
  const space = (width - used - 18) / (columns.length - 1); // with room for the arcs to fallbacks
  const top = 30, height = top + tallest * (row + gap) + 4;
  const nodes = new Map();
  let x = 2;
  for (const c of columns) {
    // Few nodes beside many are kept in sight, near the top.
    const big = c.kind === 'source' || c.kind === 'sink' ? Math.max(row, Math.min(74, (height - top) / Math.max(c.names.length, 1) - gap)) : row;
    const pitch = Math.min(big + (tallest > 9 ? 18 : gap), c.names.length ? (height - top) / c.names.length : big);
    const used = pitch * c.names.length;
    let y = top + Math.max(0, Math.min((height - top - used) / 2, 240));
    c.x = x;
    c.width = c.share * width;
    for (const name of c.names) {
      const tall = Math.min(big, Math.max(pitch - 4, 18)), h = c.kind === 'filter' ? Math.min(tall, 34) : tall;
      nodes.set(c.kind + ':' + name, { kind: c.kind, name, x, y: y + (tall - h) / 2, w: c.width, h });
      y += pitch;
    }
    x += c.width + space;
  }
  return { nodes, columns, height, narrow, dense: tallest > 9, space };
}

// inOrder sorts sinks by where the rules stand that feed them, so that few lines
// cross; fallbacks come last.
function inOrder(t) {
  const place = new Map(t.sinks.map((s) => {
    const from = t.rules.flatMap((r, i) => (r.actions.some((a) => a.sink === s.name) ? [i] : []));
    return [s.name, from.length ? from.reduce((a, b) => a + b) / from.length : Infinity];
  }));
  const by = (a, b) => (place.get(a) === place.get(b) ? 0 : place.get(a) - place.get(b));
  return t.sinks.map((s) => s.name).sort(by);
}

function edgesOf(t, l) {
  const edges = new Map();
  const add = (from, to, weight, extra) => {
    const key = from + '→' + to;
    if (!l.nodes.has(to) || (from !== 'topics' && !l.nodes.has(from)) && to !== 'topics') return;
    if (edges.has(key)) edges.get(key).weight += weight; else edges.set(key, { from, to, weight, ...extra });
  };
  for (const r of t.rules) {
    if (l.narrow) add('topics', 'rule:' + r.name, 1, { rate: (s) => s.rules[r.name]?.rate });
    for (const f of l.narrow ? [] : r.filters) {
      const all = (s) => s.rules[r.name]?.rate ?? 0; // which filter they came by is known of a single one only
      add('filter:' + f, 'rule:' + r.name, 1, r.filters.length === 1 ? { rate: all } : { some: (s) => all(s) > 0 });
    }
    for (const a of r.actions) add('rule:' + r.name, 'sink:' + a.sink, 1, { rule: r.name, of: r.actions.length, label: true });
  }
  for (const e of edges.values()) {
    if (e.rule) e.rate = (s) => (s.rules[e.rule]?.actions_rate ?? 0) * e.weight / e.of;
  }
  const filterRate = (f) => (s) => Math.max(...t.rules.filter((r) => r.filters.includes(f)).map((r) => s.rules[r.name]?.rate ?? 0));
  for (const c of l.columns) if (c.kind === 'filter') c.names.forEach((f) => add('topics', 'filter:' + f, 1, { rate: filterRate(f) }));
  for (const s of t.sinks) if (s.fallback) edges.set(s.name + '⇢', { from: 'sink:' + s.name, to: 'sink:' + s.fallback, fallback: true, rate: (x) => x.sinks[s.name]?.failed_rate });
  return [...edges.values()];
}

function draw(canvas, t, width) {
  const l = layout(t, width);
  const svg = h('svg', { class: l.dense ? 'dense' : null, viewBox: `0 0 ${width} ${l.height}`, width, height: l.height, role: 'group', 'aria-label': 'Flows' });
  const under = h('g'), over = h('g');
  const titles = { source: 'Sources', filter: 'Topic filters', rule: 'Rules', sink: 'Sinks' };
  for (const c of l.columns) svg.append(h('text', { class: 'column', x: c.x + 2, y: 14 }, `${titles[c.kind]} ${c.names.length > 1 ? c.names.length : ''}`));
  svg.append(under, over);
  const bar = { x: l.columns[0].x + l.columns[0].width + l.space / 2 - 2, top: 30, bottom: l.height - 4 };
  const edges = edgesOf(t, l);
  const animate = edges.length <= 60;
  const updates = [];
  const ends = [];
  for (const s of t.sources) {
    const n = l.nodes.get('source:' + s.name);
    ends.push(n.y + n.h / 2);
    updates.push(edge(under, over, { x1: n.x + n.w, y1: n.y + n.h / 2, x2: bar.x, y2: n.y + n.h / 2 }, { from: 'source:' + s.name, rate: (x) => x.sources[s.name]?.rate }, animate, l));
  }
  for (const e of edges) {
    const a = l.nodes.get(e.from), b = l.nodes.get(e.to);
    if (e.from === 'topics') ends.push(b.y + b.h / 2);
    const line = e.fallback ? null : { x1: a ? a.x + a.w : bar.x + 4, y1: a ? a.y + a.h / 2 : b.y + b.h / 2, x2: b.x, y2: b.y + b.h / 2 };
    updates.push(edge(under, over, line ?? { arc: [a, b] }, e, animate, l));
  }
  if (ends.length) {
    const y = Math.min(...ends) - 14, end = Math.max(...ends) + 14;
    under.append(h('rect', { class: 'topics', x: bar.x, y, width: 4, height: end - y, rx: 2 }, h('title', {}, 'The tree of topics: every rule sees the messages of all sources')));
  }
  for (const n of l.nodes.values()) updates.push(node(over, n, l));
  canvas.replaceChildren(svg);
  if (!t.rules.length) canvas.append(h('p', { class: 'empty' }, 'No rules. Add one with Pipeline.SetRule.'));
  return { update() { for (const u of updates) u(store.snapshot); } };
}

function pathOf(g) {
  if (g.arc) {
    const [a, b] = g.arc, x = a.x + a.w, bend = Math.min(16, 6 + Math.abs(a.y - b.y) / 14);
    return `M${x} ${a.y + a.h / 2}C${x + bend} ${a.y + a.h / 2} ${x + bend} ${b.y + b.h / 2} ${x} ${b.y + b.h / 2}`;
  }
  const mid = (g.x1 + g.x2) / 2;
  return `M${g.x1} ${g.y1}C${mid} ${g.y1} ${mid} ${g.y2} ${g.x2} ${g.y2}`;
}

function edge(under, over, g, e, animate, l) {
  const d = pathOf(g);
  const line = h('path', { class: 'edge' + (e.fallback ? ' fallback' : ''), d });
  under.append(line);
  const moving = animate ? h('path', { class: 'moving', d }) : null;
  if (moving) under.append(moving);
  let text = null, back = null;
  if (e.label && !l.dense && !g.arc && l.space > 64) {
    const w = 56, x = g.x1 + (g.x2 - g.x1) * 0.5, y = (g.y1 + g.y2) / 2;
    text = h('text', { class: 'edge-rate', x, y: y + 4 });
    back = h('rect', { class: 'edge-label', x: x - w / 2, y: y - 9, width: w, height: 18, rx: 9 });
    over.append(back, text);
  }
  return (s) => {
    const r = e.rate?.(s) ?? 0;
    const [kind, ...name] = (e.to ?? '').split(':');
    const state = e.fallback ? 'ok' : kind === 'sink' ? level('sink', name.join(':')) : level(...split(e.from));
    setAttr(line, 'data-flow', state === 'bad' ? 'blocked' : r > 0 || e.some?.(s) ? 'on' : 'off');
    setAttr(line, 'stroke-width', (1.2 + Math.min(l.dense ? 1 : 4, Math.log10(1 + r) * 0.9)).toFixed(1));
    if (moving) setAttr(moving, 'data-speed', r <= 0 || state === 'bad' ? null : r < 10 ? 'slow' : r < 1000 ? 'medium' : 'fast');
    if (!text) return;
    setText(text, r ? rate(r) : '');
    setAttr(back, 'visibility', r ? null : 'hidden');
  };
}

const split = (id) => { const at = (id ?? '').indexOf(':'); return [id.slice(0, at), id.slice(at + 1)]; };

function node(layer, n, l) {
  const small = n.h < 44, pad = l.narrow ? 8 : 12;
  const href = { rule: '#/rules/', sink: '#/sinks/' }[n.kind];
  const go = () => { if (href) location.hash = href + encodeURIComponent(n.name); };
  const sign = n.kind === 'filter' ? null : mark('unknown', 12);
  const box = h('rect', { x: n.x, y: n.y, width: n.w, height: n.h, rx: small ? 6 : 9 });
  const size = n.h < 26 ? 11 : 12.5;
  const room = (n.w - pad * 2 - (sign ? 18 : 0) - (small ? 46 : 0)) / (size * (n.kind === 'filter' ? 0.61 : 0.6));
  const name = n.name.length > room ? n.name.slice(0, Math.max(3, Math.floor(room) - 1)) + '…' : n.name;
  const title = h('title', {}, n.name);
  const label = h('text', { class: 'name', x: n.x + pad + (sign ? 18 : 0), y: n.y + (small ? n.h / 2 + size * 0.35 : n.kind === 'filter' ? n.h / 2 + 4 : 24), 'font-size': size }, name);
  const value = h('text', small ? { class: 'value end', x: n.x + n.w - pad, y: n.y + n.h / 2 + 4, 'font-size': 11 } : { class: 'value', x: n.x + pad, y: n.y + 44 });
  const note = small ? null : h('text', { class: 'note', x: n.x + pad, y: n.y + 61 });
  if (sign) { setAttr(sign, 'x', n.x + pad); setAttr(sign, 'y', n.y + (small ? n.h / 2 - 6 : 13)); }
  const g = h('g', { class: 'node ' + n.kind, 'data-node': n.kind + ':' + n.name, tabindex: href ? 0 : null, role: href ? 'link' : null, click: go, keydown: (e) => { if (e.key === 'Enter') go(); } },
    title, box, sign, label, n.kind === 'filter' ? null : value, n.kind === 'filter' ? null : note);
  layer.append(g);
  const chars = Math.floor((n.w - pad * 2) / 6);
  return (s) => {
    if (n.kind === 'filter') return;
    const f = s[n.kind + 's'][n.name];
    if (!f) return;
    const at = level(n.kind, n.name);
    setLevel(sign, at);
    setAttr(g, 'data-level', at);
    const [main, extra] = figures(n.kind, n.name, f, at, s, l.narrow);
    setText(value, main);
    if (note) setText(note, extra.length > chars ? extra.slice(0, chars - 1) + '…' : extra);
    const why = problemsOf(n.kind, n.name).map((p) => `\n${p.title}: ${p.reason ?? ''}`).join('');
    setText(title, `${n.name}: ${main}${extra ? ', ' + extra : ''}${why}`);
  };
}

// figures are the two lines of a node.
function figures(kind, name, f, at, s, narrow) {
  const trouble = problemsOf(kind, name)[0];
  if (trouble && hasTime(trouble.since)) {
    const waits = kind === 'sink' ? `${compact(f.queuing + f.inflight)} wait` : rate(f.rate);
    return [narrow ? waits : `${trouble.title} · ${waits}`, `for ${ago(trouble.since, s.time)}`];
  }
  if (at === 'off') return ['disabled', ''];
  if (kind === 'source') return [rate(f.rate), f.received ? `${compact(f.received)} in all` : 'no messages yet'];
  if (kind === 'rule') {
    const passed = f.rate > 0 ? f.passed_rate / f.rate : f.matched ? f.passed / f.matched : null;
    return [rate(f.rate), passed === null ? 'nothing matched yet' : `${Math.round(passed * 100)} % pass`];
  }
  const waiting = f.queuing + f.inflight;
  return [rate(f.stored_rate), [waiting ? `${compact(waiting)} wait` : '', f.latency.p99 ? `p99 ${millis(f.latency.p99)}` : ''].filter(Boolean).join(' · ') || (f.success ? `${compact(f.success)} in all` : 'nothing stored yet')];
}
