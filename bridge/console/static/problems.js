// What wants attention, in words.
import { ago, clock, compact, count, h, hasTime, mark, setText } from './dom.js';
import { store } from './store.js';

const inSight = 4; // problems that are shown without asking for more

// listProblems says what is wrong; the elements stay while the problems do.
export function listProblems(box, only = () => true, calm = null) {
  const list = store.snapshot.problems.filter(only);
  const key = JSON.stringify(list.map((p) => [p.kind, p.name, p.title, p.severity]));
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    const open = box.querySelector('details')?.open;
    const all = list.map(problem), more = all.splice(inSight);
    box.replaceChildren(...all);
    if (more.length) box.append(h('details', { class: 'more', open }, h('summary', {}, `${count(more.length)} more`), h('div', { class: 'problems' }, more)));
    if (!list.length && calm) box.append(h('p', { class: 'calm' }, mark('ok', 14), h('span')));
  }
  box.hidden = !list.length && !calm;
  const shown = box.querySelectorAll('.problem');
  list.forEach((p, i) => {
    const [since, reason, effect] = shown[i].querySelectorAll('[data-part]');
    setText(since, hasTime(p.since) ? `${p.at_least ? 'for at least' : 'for'} ${ago(p.since, store.snapshot.time)}, since ${clock(p.since)}` : '');
    setText(reason, p.reason ?? '');
    setText(effect, p.effect ?? '');
  });
  if (!list.length && calm) setText(box.querySelector('.calm span'), calm());
}

function problem(p) {
  return h('article', { class: 'problem ' + p.severity },
    mark(p.severity === 'blocked' ? 'bad' : 'warn', 16),
    h('div', {},
      h('p', {}, h('strong', {}, `${p.kind[0].toUpperCase() + p.kind.slice(1)} `,
        h('a', { href: `#/${p.kind}s/${encodeURIComponent(p.name)}` }, p.name), ' ' + p.title),
      ' ', h('span', { class: 'since', 'data-part': 'since' })),
      h('p', { class: 'reason', 'data-part': 'reason' }), h('p', { class: 'effect', 'data-part': 'effect' })));
}

// troubleOf is the worst problem of a part in a few words.
export function troubleOf(problems, s) {
  const p = problems[0];
  if (!p) return null;
  const title = p.title.replace(/^is /, '');
  return hasTime(p.since) ? `${title} for ${ago(p.since, s.time).trim()}` : title;
}

export const waits = (n) => `${compact(n)} ${n === 1 ? 'waits' : 'wait'}`;
