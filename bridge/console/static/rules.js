// Rules: statement, counters, actions, the last exception, switch, trace.
import { chart } from './chart.js';
import { ago, clock, compact, count, h, hasTime, mark, percent, rate, setAttr, setLevel, setText } from './dom.js';
import { allow, changer, facts, head, parts } from './list.js';
import { highlight } from './sql.js';
import { call, level, problemsOf, store } from './store.js';

export const rules = (root, chosen) => parts(root, 'rule', chosen, (f) => (f.enabled ? rate(f.rate) : 'off'), detail);

const share = (n, of) => (of ? percent(n / of) : '');

function detail(root, info) {
  const name = info.name, path = 'rules/' + encodeURIComponent(name);
  const figures = () => store.snapshot.rules[name], past = () => store.past.rules[name] ?? {};
  const table = facts([
    ['Matched', (f) => count(f.matched), 'Messages on its topics', (f) => rate(f.rate)],
    ['Passed', (f) => count(f.passed), 'Messages that made rows', (f) => share(f.passed, f.matched), 'ok'],
    ['No result', (f) => count(f['failed.no_result']), 'Messages that made no rows, such as those that WHERE refused', (f) => share(f['failed.no_result'], f.matched), 'off'],
    ['Exceptions', (f) => count(f['failed.exception']), 'Messages that the rule failed on', (f) => share(f['failed.exception'], f.matched), 'bad'],
    ['Records', (f) => count(f['actions.total']), 'Records made for sinks', (f) => rate(f.actions_rate)],
    ['Stored', (f) => count(f['actions.success']), 'Records that their sinks have stored', (f) => share(f['actions.success'], f['actions.total'])],
    ['On their way', (f) => count(Math.max(0, f['actions.total'] - f['actions.success'] - f['actions.failed'] - f['actions.discarded'])), 'Records that are in a queue or in a write'],
    ['Given up', (f) => count(f['actions.failed']), 'Records refused for good, too old, or dropped', (f) => (f['actions.discarded'] ? `${compact(f['actions.discarded'])} discarded` : '')],
  ]);
  const toggle = changer('Disable', () => call('PUT', path + '/enabled', { enabled: !figures().enabled }));
  const reset = changer('Reset counters', () => call('POST', path + '/reset'));
  const plots = [
    chart('Messages', [{ label: 'matched', color: 'accent', get: () => past().matched }, { label: 'passed', color: 'ok', get: () => past().passed }, { label: 'exceptions', color: 'bad', get: () => past().exceptions }], rate, 1),
    chart('Records', [{ label: 'made', color: 'violet', get: () => past().records }], rate, 1),
  ];
  const test = info.sql ? h('a', { class: 'button', href: '#/tester/' + encodeURIComponent(name) }, 'Open in the tester') : null;
  const follow = h('a', { class: 'button', href: '#/trace/' + encodeURIComponent(name) }, 'Trace');
  const top = head('rule', info, follow, toggle, reset, test);
  const last = exception(name), outcome = bar(), actions = actionTable(info);
  root.append(top.root, last.root,
    info.sql ? h('pre', { class: 'code sql', tabindex: 0, role: 'region', 'aria-label': 'Statement' }, highlight(info.sql)) : h('p', { class: 'muted' }, `This rule is Go code (${info.type}). It gets messages on ${info.filters.join(', ')}.`),
    outcome.root, table.root, actions.root, h('div', { class: 'charts' }, plots.map((p) => p.root)),
    info.plan ? h('details', {}, h('summary', {}, 'Compiled plan'), h('pre', { class: 'code', tabindex: 0, role: 'region', 'aria-label': 'Compiled plan' }, info.plan)) : '');
  return {
    update() {
      const f = figures();
      if (!f) return;
      top.update([f.enabled ? 'enabled' : 'disabled: it sees no messages', f.enabled && `${rate(f.rate)} matched`, f.rate > 0 && `${Math.round(100 * f.passed_rate / f.rate)} % pass`, info.fallback && `fallback: ${info.fallback}`]);
      last.update(f);
      outcome.update(f);
      actions.update(f);
      table.update(f);
      plots.forEach((p) => p.update());
      setText(toggle, f.enabled ? 'Disable' : 'Enable');
      [toggle, reset].forEach(allow);
    },
    close() { plots.forEach((p) => p.close()); },
  };
}

// exception is the last one, unless a problem says it already.
function exception(name) {
  const text = h('code'), when = h('span', { class: 'muted' });
  const root = h('div', { class: 'last', 'data-part': 'exception' }, h('b', {}, 'Last exception'), when, text);
  return {
    root,
    update(f) {
      root.hidden = !f.last_error || problemsOf('rule', name).length > 0;
      if (root.hidden) return;
      setText(text, f.last_error);
      setText(when, hasTime(f.last_error_at) ? `${ago(f.last_error_at, store.snapshot.time).trim()} ago, at ${clock(f.last_error_at)}` : '');
    },
  };
}

// bar shows what became of the messages, as parts of a whole.
function bar() {
  const parts = [['ok', 'passed', 'passed'], ['off', 'no result', 'failed.no_result'], ['bad', 'exceptions', 'failed.exception']];
  const pieces = parts.map(([colour]) => h('i', { 'data-color': colour }));
  const root = h('div', { class: 'outcome', role: 'img' }, pieces);
  return {
    root,
    update(f) {
      root.hidden = !f.matched;
      parts.forEach(([, , key], i) => { pieces[i].style.flexGrow = f[key]; pieces[i].hidden = !f[key]; });
      setAttr(root, 'aria-label', parts.map(([, word, key]) => `${word} ${share(f[key], f.matched)}`).join(', '));
    },
  };
}

// actionTable tells what is done with the rows.
function actionTable(info) {
  const updates = [];
  const cell = (label, text) => h('td', { 'data-label': label }, text ? h('code', {}, text) : h('span', { class: 'muted' }, '–'));
  const row = (a) => {
    const sign = mark('unknown', 12), made = h('td', { class: 'number', 'data-label': 'Rate' });
    updates.push((f) => {
      setLevel(sign, level('sink', a.sink));
      setText(made, rate(f.actions_rate / info.actions.length));
    });
    return h('tr', {}, h('th', { scope: 'row' }, sign, h('a', { href: '#/sinks/' + encodeURIComponent(a.sink) }, a.sink), a.optional ? h('span', { class: 'muted' }, ' optional') : ''),
      cell('Destination', a.dest), cell('Key', a.key), cell('Data', a.data || '${.}'), made);
  };
  const root = h('section', {}, h('h2', {}, 'Actions'), info.actions.length
    ? h('table', {}, h('thead', {}, h('tr', {}, ['Sink', 'Destination', 'Key', 'Data', 'Rate'].map((t) => h('th', { scope: 'col', class: t === 'Rate' ? 'number' : null }, t)))), h('tbody', {}, info.actions.map(row)))
    : h('p', { class: 'muted' }, 'Its sinks are not known. Name them in console.Config.Rules.'));
  return { root, update(f) { for (const u of updates) u(f); } };
}
