// The flows on a phone: sources, rules with what they feed, and sinks, one below
// the other.
import { h, mark, rate, setAttr, setLevel, setText } from './dom.js';
import { actionName, ruleNote, sinkFigure, sinkNote, sourceNote } from './graph.js';
import { level, store } from './store.js';

export function stack(stage, unfold) {
  let updates = [];
  const draw = (t, chosen) => {
    updates = [];
    const rules = t.rules.filter((r) => chosen.rules.has(r.name));
    const list = (title, cards, more) => h('section', {}, h('h2', { class: 'column' }, title), cards, more ?? '');
    stage.style.height = '';
    stage.replaceChildren(
      list('Sources', t.sources.map((s) => card('source', s.name, [], (f, s2) => [rate(f.rate), sourceNote(s.name, f, s2)]))),
      step((s) => sum(s.sources, 'rate')),
      list('Rules', rules.map((r) => card('rule', r.name, r.filters.map((f) => h('code', {}, f)), (f, s) => [f.enabled ? rate(f.rate) : 'off', ruleNote(r.name, f, s)], r.actions.map((a) => target(r, a)))),
        chosen.folded.size ? h('button', { type: 'button', class: 'node folded', click: () => unfold() }, `${chosen.folded.size} quiet rules`) : null),
      step((s) => sum(s.rules, 'actions_rate')),
      list('Sinks', worstFirst(t.sinks.filter((s) => chosen.sinks.has(s.name))).map((s) => card('sink', s.name, [], (f, s2) => [sinkFigure(s.name, f), sinkNote(s.name, f, s2)]))));
    update();
  };
  const card = (kind, name, above, figures, below = []) => {
    const sign = mark('unknown', 12), value = h('span', { class: 'rate' }), note = h('span', { class: 'note' });
    const el = h('div', { class: `node stacked ${kind}`, 'data-node': `${kind}:${name}` },
      above.length ? h('span', { class: 'filters' }, above) : '',
      h('a', { class: 'line', href: `#/${kind}s/${encodeURIComponent(name)}` }, sign, h('span', { class: 'name' }, name), value), note, below);
    updates.push((s) => {
      const f = s[kind + 's'][name];
      if (!f) return;
      const how = level(kind, name), [main, extra] = figures(f, s);
      setLevel(sign, how);
      setAttr(el, 'data-level', how);
      setText(value, main);
      setText(note, extra);
    });
    return el;
  };
  const target = (r, a) => {
    const sign = mark('unknown', 10), value = h('span', { class: 'rate' }), el = h('span', { class: 'target' }, '→ ', sign, h('b', {}, a.sink), h('span', { class: 'muted name' }, actionName(a)), value);
    updates.push((s) => {
      setLevel(sign, level('sink', a.sink));
      setText(value, rate((s.rules[r.name]?.actions_rate ?? 0) / r.actions.length));
    });
    return el;
  };
  // step is the line from one list to the next, with the rate that passes.
  const step = (of) => {
    const text = h('span'), el = h('div', { class: 'step', 'aria-hidden': 'true' }, text);
    updates.push((s) => { setText(text, rate(of(s))); setAttr(el, 'data-flow', of(s) > 0 ? 'on' : 'off'); });
    return el;
  };
  const update = () => { for (const u of updates) u(store.snapshot); };
  return { draw, update, close() {} };
}

const ranks = ['bad', 'warn', 'ok', 'off', 'unknown'];
const worstFirst = (sinks) => [...sinks].sort((a, b) => ranks.indexOf(level('sink', a.name)) - ranks.indexOf(level('sink', b.name)));

const sum = (parts, key) => Object.values(parts).reduce((n, p) => n + p[key], 0);
