// The graph of flows: lines below, moving dots above them, and nodes on top.
import { compact, h, mark, millis, rate, setAttr, setLevel, setText } from './dom.js';
import { dots, speedOf } from './dots.js';
import { curve, place } from './layout.js';
import { model } from './model.js';
import { troubleOf, waits } from './problems.js';
import { heldBy, level, problemsOf, store } from './store.js';

// graph shows itself in stage; unfold is called when a folded node is pressed.
export function graph(stage, unfold) {
  const canvas = h('canvas', { 'aria-hidden': 'true' });
  const ants = dots(canvas);
  const off = new AbortController();
  let nodes = [], edges = [], m = null;

  const draw = (t, chosen, width, height) => {
    const focused = document.activeElement?.dataset?.node;
    m = model(t, chosen);
    const l = place(m, width, height);
    stage.style.height = l.height + 'px';
    const svg = h('svg', { viewBox: `0 0 ${width} ${l.height}`, width, height: l.height, 'aria-hidden': 'true' });
    if (l.bar.h) svg.append(h('rect', { class: 'topics', x: l.bar.x, y: l.bar.y, width: 4, height: l.bar.h, rx: 2 }));
    const curves = m.edges.map((e) => curve(e, l, m.nodes));
    const lines = ants.set(curves, width, l.height);
    const labelled = l.gap >= 54 && m.columns.find((c) => c.kind === 'action').mode !== 'dense';
    edges = m.edges.map((e, i) => edgeElement(svg, e, curves[i], lines[i], labelled));
    nodes = [...m.nodes.values()].map((n) => nodeElement(n, unfold));
    stage.replaceChildren(svg, canvas,
      ...m.columns.map((c) => at(h('h2', { class: 'column' }, c.title, c.nodes.length > 1 || c.nodes[0]?.folded ? h('span', {}, String(total(c))) : ''), c.x, 0, c.w)),
      ...edges.map((e) => e.label).filter(Boolean), ...nodes.map((n) => n.el));
    stage.classList.remove('tracing');
    stage.classList.toggle('labelled', labelled);
    stage.classList.toggle('busy', m.edges.filter((e) => e.fallback).length > 6);
    (nodes.find((n) => n.id === focused) ?? nodes.find((n) => n.el.matches('a, button')))?.el.setAttribute('tabindex', '0');
    if (focused) nodes.find((n) => n.id === focused)?.el.focus({ preventScroll: true });
    update();
  };
  const update = () => {
    const s = store.snapshot;
    for (const n of nodes) n.update(s);
    for (const e of edges) e.update(s);
    ants.run();
  };

  // What leads to a node and what it leads to stays bright, the rest fades.
  const trace = (id) => {
    const lit = id ? connected(m, id) : null;
    stage.classList.toggle('tracing', Boolean(lit));
    for (const n of nodes) n.el.classList.toggle('lit', Boolean(lit?.has(n.id)));
    for (const e of edges) e.line.classList.toggle('lit', Boolean(lit?.has(e.from) && lit.has(e.to)));
  };
  const on = (type, handle) => stage.addEventListener(type, handle, { signal: off.signal });
  const under = (e) => e.target.closest?.('[data-node]')?.dataset.node;
  on('pointerover', (e) => { if (e.pointerType === 'mouse') trace(under(e)); });
  on('pointerleave', () => trace(null));
  on('focusin', (e) => { if (e.target.matches(':focus-visible')) trace(under(e)); });
  on('focusout', () => trace(null));
  on('keydown', (e) => {
    const next = neighbour(nodes, m, under(e), e.key);
    if (!next) return;
    e.preventDefault();
    for (const n of nodes) if (n.el.tabIndex === 0) n.el.setAttribute('tabindex', '-1');
    next.setAttribute('tabindex', '0');
    next.focus();
  });
  return { draw, update, close() { ants.close(); off.abort(); } };
}

const total = (c) => c.nodes.reduce((n, x) => n + (x.folded?.length ?? 1), 0);

function at(el, x, y, w, tall) {
  el.style.left = x + 'px';
  el.style.top = y + 'px';
  el.style.width = w + 'px';
  if (tall) el.style.height = tall + 'px';
  return el;
}

// connected is what lies before and after a node.
function connected(m, id) {
  const lit = new Set([id]);
  const follow = (from, to) => {
    for (const next = [id], seen = new Set(next); next.length;) {
      const here = next.pop();
      for (const e of m.edges) {
        if (e[from] !== here || seen.has(e[to]) || e.fallback && from === 'to') continue;
        seen.add(e[to]);
        lit.add(e[to]);
        next.push(e[to]);
      }
    }
  };
  follow('from', 'to');
  follow('to', 'from');
  return lit;
}

// neighbour is the node that an arrow key leads to.
function neighbour(nodes, m, id, key) {
  const here = m.nodes.get(id), step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (!here || !step) return null;
  let best = null, near = Infinity;
  for (const n of nodes) {
    if (!n.el.matches('a, button') || n.id === id) continue;
    const b = m.nodes.get(n.id), dx = b.x - here.x, dy = b.y + b.h / 2 - here.y - here.h / 2;
    if (step[0] ? dx * step[0] <= 0 : dx !== 0 || dy * step[1] <= 0) continue;
    const far = Math.abs(dx) * 4 + Math.abs(dy);
    if (far < near) { near = far; best = n.el; }
  }
  return best;
}

function edgeElement(svg, e, c, dot, labelled) {
  const line = h('path', { class: 'edge' + (e.fallback ? ' fallback' : ''), d: `M${c[0]} ${c[1]}C${c.slice(2).join(' ')}` });
  svg.append(line);
  let label = null;
  if (labelled && e.from.startsWith('action:')) {
    label = h('span', { class: 'edge-rate', 'aria-hidden': 'true' });
    at(label, c[0] + (c[6] - c[0]) * 0.36, c[1] + (c[7] - c[1]) * 0.3);
    label.style.width = '';
  }
  const [kind, name] = split(e.to), own = split(e.from);
  return {
    from: e.from, to: e.to, line, label,
    update(s) {
      const r = e.rate(s), state = e.fallback ? 'ok' : kind === 'sink' && name ? level('sink', name) : level(...own);
      const stuck = state === 'bad';
      setAttr(line, 'data-flow', stuck ? 'blocked' : r > 0 || e.some(s) ? 'on' : 'off');
      const fan = e.from === 'action/folded'; // many thin lines, which dots would blur
      setAttr(line, 'stroke-width', fan ? 1.2 : (1.2 + Math.min(3.2, Math.log10(1 + r) * 0.8)).toFixed(1));
      dot.speed = stuck || fan ? 0 : speedOf(r > 0 ? r : e.some(s) ? 1 : 0);
      if (!label) return;
      setText(label, r ? rate(r) : '');
      label.hidden = !r;
    },
  };
}

const split = (id) => { const i = id.indexOf(':'); return i < 0 ? ['', ''] : [id.slice(0, i), id.slice(i + 1)]; };

const section = { source: 'sources', rule: 'rules', sink: 'sinks' };

function nodeElement(n, unfold) {
  const link = n.kind === 'action' ? n.rule && '#/rules/' + encodeURIComponent(n.rule) : n.name !== undefined && section[n.kind] && `#/${section[n.kind]}/${encodeURIComponent(n.name)}`;
  const sign = !n.folded && section[n.kind] ? mark('unknown', 12) : null;
  const label = h('span', { class: 'name' }, n.label ?? (n.kind === 'action' ? actionName(n.action) : n.name));
  const value = h('span', { class: 'rate' }), note = n.mode === 'roomy' && n.kind !== 'filter' ? h('span', { class: 'note' }) : null;
  const tag = n.folded ? 'button' : link ? 'a' : 'div';
  const el = h(tag, {
    class: `node ${n.kind} ${n.mode}${n.folded ? ' folded' : ''}${n.slim ? ' slim' : ''}`, 'data-node': n.id, href: link || null, type: n.folded ? 'button' : null,
    tabindex: tag === 'div' ? null : -1, click: n.folded ? () => unfold() : null,
  }, h('span', { class: 'line' }, sign, label, value), note);
  at(el, n.x, n.y, n.w, n.h);
  const show = shows[n.folded ? 'folded' : n.kind];
  return {
    id: n.id, el,
    update(s) {
      const [main, extra, why] = show(n, s);
      setText(value, main);
      if (note) setText(note, n.slim && sign ? slim(level(n.kind, n.name), main, extra) : extra);
      setAttr(el, 'title', [n.label ?? (n.kind === 'action' ? describeAction(n.action) : n.name), why ?? extra].filter(Boolean).join('\n'));
      if (!sign) return;
      const how = level(n.kind, n.name);
      setLevel(sign, how);
      setAttr(el, 'data-level', how);
    },
  };
}

// slim is the second line of a node that has no room for its figure in the first.
const slim = (how, main, extra) => (how === 'ok' ? `${main} · ${extra}` : how === 'bad' || how === 'warn' ? `${extra} · ${main}` : extra);

export const actionName = (a) => (a.dest ? `to ${a.dest}` : a.key ? `key ${a.key}` : a.data ? `data ${a.data}` : 'records');
const second = (a) => [a.dest && a.key && `key ${a.key}`, (a.dest || a.key) && a.data && `data ${a.data}`, a.optional && 'optional'].filter(Boolean).join(' · ');
const describeAction = (a) => [`sink ${a.sink}`, a.dest && `to ${a.dest}`, a.key && `key ${a.key}`, a.data && `data ${a.data}`, a.optional && 'optional'].filter(Boolean).join('\n');

// shows gives the figure of a node, its second line, and words for its tooltip.
const shows = {
  folded: (n, s) => [n.rate ? rate(n.rate(s)) : '', '', n.kind === 'sink' ? '' : 'Show all'],
  filter: () => ['', ''],
  action: (n, s) => [rate(n.rate(s)), second(n.action) || (n.action.key ? 'the whole row' : '')],
  source: (n, s) => { const f = s.sources[n.name]; return f ? [rate(f.rate), sourceNote(n.name, f, s), whyOf('source', n.name)] : ['', '']; },
  rule: (n, s) => { const f = s.rules[n.name]; return f ? [f.enabled ? rate(f.rate) : 'off', ruleNote(n.name, f, s), whyOf('rule', n.name)] : ['', '']; },
  sink: (n, s) => { const f = s.sinks[n.name]; return f ? [sinkFigure(n.name, f), sinkNote(n.name, f, s), whyOf('sink', n.name)] : ['', '']; },
};

const whyOf = (kind, name) => problemsOf(kind, name).map((p) => `${p.title}: ${p.reason ?? ''} ${p.effect ?? ''}`).join('\n') || null;

export function sourceNote(name, f, s) {
  const held = heldBy();
  return troubleOf(problemsOf('source', name), s) ?? (held.length ? `held up by ${held.join(', ')}` : f.received ? `${compact(f.received)} in all` : 'no messages yet');
}

export function ruleNote(name, f, s) {
  const trouble = troubleOf(problemsOf('rule', name), s);
  if (trouble || !f.enabled) return trouble ?? 'disabled';
  const passed = f.rate > 0 ? f.passed_rate / f.rate : f.matched ? f.passed / f.matched : null;
  return passed === null ? 'nothing matched yet' : `${Math.round(passed * 100)} % pass`;
}

// sinkFigure is what is stored or, while nothing is, what waits.
export function sinkFigure(name, f) {
  const waiting = f.queuing + f.inflight;
  return !f.enabled ? 'off' : level('sink', name) === 'bad' && waiting ? waits(waiting) : rate(f.stored_rate);
}

export function sinkNote(name, f, s) {
  const trouble = troubleOf(problemsOf('sink', name), s), waiting = f.queuing + f.inflight;
  if (trouble) return trouble;
  if (!f.enabled) return 'disabled: records are discarded';
  return [waiting ? waits(waiting) : '', f.latency.p99 ? `p99 ${millis(f.latency.p99)}` : ''].filter(Boolean).join(' · ') || (f.success ? `${compact(f.success)} in all` : 'nothing stored yet');
}
