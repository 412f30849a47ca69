// Sources: condition, what arrives, connectivity, subscriptions.
import { binary, chart } from './chart.js';
import { bytes, count, h, percent, rate } from './dom.js';
import { checker, facts, head, parts, since } from './list.js';
import { heldBy, store } from './store.js';

export const sources = (root, chosen) => parts(root, 'source', chosen, (f) => rate(f.rate), detail);

function detail(root, info) {
  const name = info.name, past = () => store.past.sources[name] ?? {}, figures = () => store.snapshot.sources[name];
  const table = facts([
    ['Received', (f) => count(f.received), 'Messages read since the pipeline was made', (f) => rate(f.rate)],
    ['Payload bytes', (f) => bytes(f.bytes), 'Of the messages received', (f) => bytes(f.bytes_rate) + '/s'],
    ['Wanted by no rule', (f) => count(f.unmatched), 'Messages that no rule wanted', (f) => (f.received ? percent(f.unmatched / f.received) : '')],
    ['Mean payload', (f) => (f.received ? bytes(f.bytes / f.received) : '–')],
  ]);
  const plots = [
    chart('Messages', [{ label: 'received', color: 'accent', get: () => past().rate }], rate, 1),
    chart('Payload', [{ label: 'bytes', color: 'violet', get: () => past().bytes }], (v) => bytes(v) + '/s', 1024, binary),
  ];
  const check = checker(info, () => top.result), top = head('source', info, check);
  const filters = info.subscriptions ?? [];
  root.append(top.root, table.root,
    h('section', {}, h('h2', {}, 'Subscriptions'), filters.length
      ? h('div', { class: 'chips' }, filters.map((f) => h('code', {}, f)))
      : h('p', { class: 'muted' }, 'Not known. A source tells them by a method Subscriptions, or name them in console.Config.Sources.')),
    h('div', { class: 'charts' }, plots.map((p) => p.root)));
  return {
    update() {
      const f = figures(), held = heldBy();
      if (!f) return;
      top.update([info.type, since(f.health, store.snapshot.time), f.health.state === 'connected' && f.health.reason, held.length && `held up by ${held.join(', ')}: it is read no further until there is room`, !f.received && 'no messages yet']);
      table.update(f);
      plots.forEach((p) => p.update());
    },
    close() { plots.forEach((p) => p.close()); },
  };
}
