// What the graph of flows shows: its nodes by columns, and its edges. Where there
// is no room for all rules, those with problems and the busiest are shown and the
// quiet ones are folded into one node.
import { level, store } from './store.js';

export const titles = { source: 'Sources', filter: 'Topic filters', rule: 'Rules', action: 'Actions', sink: 'Sinks' };
const plural = { source: 'sources', filter: 'filters', rule: 'rules', action: 'actions', sink: 'sinks' };

// importance puts problems first, then what leads to a blocked sink, then the
// busiest. What is shown already stays unless another is clearly busier.
function importance(kind, name, sinks, shown) {
  const at = level(kind, name), f = store.snapshot[kind + 's'][name];
  const busy = (f?.rate ?? 0) * (shown?.has(name) ? 1.5 : 1) + (shown?.has(name) ? 0.1 : 0);
  return (at === 'bad' ? 1e15 : at === 'warn' ? 1e12 : 0) + (sinks.some((s) => level('sink', s) === 'bad') ? 1e9 : 0) + busy;
}

// pick chooses the rules and sinks to show. Room is how many nodes a column can
// have; shown are those of the last time.
export function pick(t, room, query, shown) {
  const matching = t.rules.filter((r) => matches(r, query));
  const ranked = matching.map((r) => ({ r, at: importance('rule', r.name, r.actions.map((a) => a.sink), shown?.rules) }));
  ranked.sort((a, b) => b.at - a.at); // stable: by name among equals
  const filters = new Set(), rules = new Set();
  let actions = 0;
  const fits = (limit, r) => rules.size + 1 <= limit && new Set([...filters, ...r.filters]).size <= limit && actions + r.actions.length <= limit;
  const add = (r) => { rules.add(r.name); r.filters.forEach((f) => filters.add(f)); actions += r.actions.length; };
  const whole = matching.length <= room && new Set(matching.flatMap((r) => r.filters)).size <= room && matching.reduce((n, r) => n + r.actions.length, 0) <= room;
  for (const { r } of ranked) {
    if (!whole && !fits(room - 1, r)) break;
    add(r);
  }
  return { query, rules, folded: new Set(matching.filter((r) => !rules.has(r.name)).map((r) => r.name)), sinks: sinksOf(t, room, query, shown, matching) };
}

function sinksOf(t, room, query, shown, rules) {
  let names = t.sinks.map((s) => s.name);
  const fed = new Set(rules.flatMap((r) => r.actions.map((a) => a.sink)));
  if (query) names = names.filter((n) => fed.has(n) || has(n, query));
  const idle = names.filter((n) => !fed.has(n) && level('sink', n) !== 'bad' && level('sink', n) !== 'warn' && !store.snapshot.sinks[n]?.rate);
  if (names.length > 12 && idle.length > 3 && room !== Infinity && !query) names = names.filter((n) => !idle.includes(n));
  if (names.length <= room) return new Set(names);
  const ranked = names.map((n) => ({ n, at: importance('sink', n, [], shown?.sinks) })).sort((a, b) => b.at - a.at);
  return new Set(ranked.slice(0, room - 1).map((x) => x.n));
}

const has = (text, query) => (text ?? '').toLowerCase().includes(query);
const matches = (r, query) => !query || has(r.name, query) || r.filters.some((f) => has(f, query)) ||
  r.actions.some((a) => has(a.sink, query) || has(a.dest, query) || has(a.key, query));

export const samePick = (a, b) => a.query === b.query && equal(a.rules, b.rules) && equal(a.sinks, b.sinks) && equal(a.folded, b.folded);
const equal = (a, b) => a.size === b.size && [...a].every((x) => b.has(x));

// model makes nodes and edges. Each edge has rate(snapshot); of some nothing is
// known but whether anything passes.
export function model(t, chosen) {
  const nodes = new Map(), edges = new Map();
  const node = (kind, name, more) => {
    const id = kind + ':' + name;
    if (!nodes.has(id)) nodes.set(id, { id, kind, name, ...more });
    return id;
  };
  const edge = (from, to, more) => {
    const key = from + '→' + to;
    if (edges.has(key)) edges.get(key).parts.push(more); else edges.set(key, { from, to, parts: [more] });
  };
  const names = new Set(t.sources.map((s) => s.name));
  for (const s of t.sources) edge(node('source', s.name), 'topics', { rate: (x) => x.sources[s.name]?.rate });

  const rules = inOrder(t.rules.filter((r) => chosen.rules.has(r.name)), t);
  const quiet = t.rules.filter((r) => chosen.folded.has(r.name));
  for (const r of rules) addRule(r, { node, edge, names, sinks: chosen.sinks });
  if (quiet.length) addQuiet(quiet, { node, edge, nodes, sinks: chosen.sinks });
  const sinks = t.sinks.filter((s) => chosen.sinks.has(s.name)), order = places(rules);
  sinks.sort((a, b) => (order.get(a.name) ?? 1e9) - (order.get(b.name) ?? 1e9));
  for (const s of sinks) node('sink', s.name);
  const rest = t.sinks.filter((s) => !chosen.sinks.has(s.name));
  if (rest.length && !chosen.query) nodes.set('sink/folded', { id: 'sink/folded', kind: 'sink', folded: rest.map((s) => s.name), label: `${rest.length} more ${plural.sink}` });
  for (const s of sinks) {
    if (s.fallback && chosen.sinks.has(s.fallback)) edges.set(s.name + '⇢', { from: 'sink:' + s.name, to: 'sink:' + s.fallback, fallback: true, parts: [{ rate: (x) => x.sinks[s.name]?.failed_rate }] });
  }
  const columns = Object.keys(titles).map((kind) => ({ kind, title: titles[kind], nodes: [...nodes.values()].filter((n) => n.kind === kind) }));
  return { nodes, columns, edges: [...edges.values()].map(joined) };
}

// joined is an edge with the sum of its parts.
function joined(e) {
  return {
    ...e,
    rate: (s) => e.parts.reduce((n, p) => n + (p.rate?.(s) ?? 0), 0),
    some: (s) => e.parts.some((p) => (p.some ? p.some(s) : (p.rate?.(s) ?? 0) > 0)),
    exact: e.parts.every((p) => p.rate),
  };
}

const sourceOf = (filter) => /^\$(?:sources|bridges)\/(?:[^:/]+:)?(.+)$/.exec(filter)?.[1];

function addRule(r, { node, edge, names, sinks }) {
  const id = node('rule', r.name), matched = (s) => s.rules[r.name]?.rate ?? 0;
  for (const f of r.filters) {
    // By which of several filters a message came is not known.
    const part = r.filters.length === 1 ? { rate: matched } : { some: (s) => matched(s) > 0 };
    const source = sourceOf(f);
    edge(names.has(source) ? 'source:' + source : 'topics', node('filter', f), part);
    edge('filter:' + f, id, part);
  }
  r.actions.forEach((a, i) => {
    const rate = (s) => (s.rules[r.name]?.actions_rate ?? 0) / r.actions.length; // each row makes a record for each
    const action = node('action', `${r.name}#${i}`, { rule: r.name, action: a, rate });
    edge(id, action, { rate });
    if (sinks.has(a.sink)) edge(action, 'sink:' + a.sink, { rate });
    else edge(action, 'sink/folded', { rate });
  });
}

// addQuiet folds rules, with their filters and actions, into one node each.
function addQuiet(quiet, { edge, nodes, sinks }) {
  const filters = new Set(quiet.flatMap((r) => r.filters)), own = [...filters].filter((f) => !nodes.has('filter:' + f));
  const actions = quiet.flatMap((r) => r.actions.map((a) => ({ ...a, rate: (s) => (s.rules[r.name]?.actions_rate ?? 0) / r.actions.length })));
  const matched = (s) => quiet.reduce((n, r) => n + (s.rules[r.name]?.rate ?? 0), 0);
  const fold = (kind, names, label, rate) => {
    const id = kind + '/folded';
    nodes.set(id, { id, kind, folded: names, label, rate });
    return id;
  };
  const id = fold('rule', quiet.map((r) => r.name), `${quiet.length} quiet ${plural.rule}`, matched);
  if (own.length) {
    fold('filter', own, `${own.length} more ${plural.filter}`);
    edge('topics', 'filter/folded', { some: (s) => matched(s) > 0 });
    edge('filter/folded', id, { some: (s) => matched(s) > 0 });
  }
  for (const f of filters) if (nodes.has('filter:' + f)) edge('filter:' + f, id, { some: (s) => matched(s) > 0 });
  if (!actions.length) return;
  const made = (s) => actions.reduce((n, a) => n + a.rate(s), 0);
  fold('action', actions, `${actions.length} more ${plural.action}`, made);
  edge(id, 'action/folded', { rate: made });
  for (const a of actions) edge('action/folded', sinks.has(a.sink) ? 'sink:' + a.sink : 'sink/folded', { rate: a.rate });
}

const mean = (list) => (list.length ? list.reduce((a, b) => a + b) / list.length : 1e6);

// places is where each sink is wanted, by the places of the rules that feed it.
function places(rules) {
  const from = new Map();
  rules.forEach((r, i) => r.actions.forEach((a) => from.set(a.sink, [...from.get(a.sink) ?? [], i])));
  return new Map([...from].map(([name, list]) => [name, mean(list)]));
}

// inOrder sorts rules by the sinks that they feed, and those by the rules, so that
// few lines cross.
function inOrder(rules, t) {
  let place = new Map(t.sinks.map((s, i) => [s.name, i]));
  for (let round = 0; round < 4; round++) {
    const at = new Map(rules.map((r) => [r, mean(r.actions.map((a) => place.get(a.sink) ?? 1e6))]));
    rules = [...rules].sort((a, b) => at.get(a) - at.get(b)); // stable: by name among equals
    place = places(rules);
  }
  return rules;
}
