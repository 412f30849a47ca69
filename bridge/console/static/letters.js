// Dead letters: read, choose, replay, delete.
import { blob } from './blob.js';
import { clock, count, h, setText } from './dom.js';
import { allow, changer, notify } from './list.js';
import { call, store } from './store.js';

// deadLetters is the list of what a console.DeadLetters keeps.
export function deadLetters(info) {
  const path = 'deadletters/' + encodeURIComponent(info.name);
  const list = h('div', { class: 'letters' }), hint = h('span', { class: 'muted', role: 'status' });
  let shown = [], chosen = new Set(), loaded = -1;
  const load = async () => {
    try { shown = (await call('GET', path)).letters; } catch (e) { setText(hint, e.message); return; }
    chosen = new Set(shown.filter((l) => chosen.has(l.id)).map((l) => l.id));
    list.replaceChildren(...(shown.length ? shown.map(letter) : [h('p', { class: 'empty' }, 'None. Records that other sinks give up end here.')]));
    buttons();
  };
  const run = (what) => async () => {
    const ids = chosen.size ? [...chosen] : shown.map((l) => l.id);
    const r = await call('POST', `${path}/${what}`, { ids });
    notify(r.error ? `${count(r.count)} done, then: ${r.error}` : `${count(r.count)} ${what === 'replay' ? 'replayed' : 'deleted'}`);
    await load();
  };
  const replay = info.replay ? changer('Replay all', run('replay')) : null;
  const remove = changer('Delete all', run('delete'));
  const buttons = () => {
    const n = chosen.size ? `${chosen.size} chosen` : 'all';
    if (replay) setText(replay, 'Replay ' + n);
    setText(remove, 'Delete ' + n);
    for (const b of [replay, remove]) if (b) { allow(b); b.disabled ||= !shown.length; }
  };
  const choose = (l) => h('input', { type: 'checkbox', 'aria-label': `Choose letter ${l.id}`, click: (e) => {
    if (e.target.checked) chosen.add(l.id); else chosen.delete(l.id);
    buttons();
  } });
  const letter = (l) => h('div', { class: 'letter' }, choose(l), h('details', {},
    h('summary', {}, h('time', {}, clock(l.time)), h('b', {}, l.sink), h('code', {}, l.topic), h('span', { class: 'error' }, l.error)),
    h('p', { class: 'muted' }, [`rule ${l.rule}`, `${l.attempts} attempt${l.attempts === '1' ? '' : 's'} before`, l.dest && `to ${l.dest}`, l.key.text && `key ${l.key.text}`].filter(Boolean).join(' · ')),
    h('h3', {}, 'Record'), blob(l.data, true), h('h3', {}, 'Message'), blob(l.payload, true)));
  const root = h('section', { class: 'dead', 'aria-label': 'Dead letters' }, h('div', { class: 'head' }, h('h2', {}, 'Dead letters'), hint, h('div', { class: 'actions' }, replay ?? '', remove)), list);
  return {
    root,
    update(f) {
      const now = f.matched * 1e6 + (f.dead_letters_held ?? 0);
      setText(hint, store.access.change ? `${count(f.dead_letters_held ?? 0)} kept` : store.access.reason);
      if (now === loaded || !store.access.change) { buttons(); return; }
      loaded = now;
      if (!list.querySelector('details[open]')) load(); // do not pull a letter away from its reader
    },
  };
}
