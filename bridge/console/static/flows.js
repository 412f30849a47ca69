// What flows where, and what is wrong: problems in words, the figures of the whole
// pipeline, and the graph.
import { count, h, setText } from './dom.js';
import { graph } from './graph.js';
import { kpis } from './kpis.js';
import { roomFor } from './layout.js';
import { pick, samePick } from './model.js';
import { listProblems } from './problems.js';
import { stack } from './stack.js';
import { store } from './store.js';

const narrow = 720; // below this width the flows are a stack

// kept is what the user asked for, so that looking at another section loses nothing.
const kept = { query: '', all: false };

export function flows(root) {
  const problems = h('section', { class: 'problems', 'aria-label': 'What needs attention' });
  const figures = kpis();
  const stage = h('div', { class: 'stage', role: 'group', 'aria-label': 'Flows; arrow keys lead from part to part' });
  const search = h('input', { type: 'search', value: kept.query, placeholder: 'Find a rule, filter or sink', 'aria-label': 'Find a rule, filter or sink', 'data-find': '', input: () => { kept.query = search.value.trim().toLowerCase(); draw(); } });
  const shown = h('span', { class: 'muted', role: 'status' });
  const fold = h('button', { type: 'button', click: () => { kept.all = !kept.all; draw(); } });
  const tools = h('div', { class: 'tools' }, search, shown, fold);
  const hint = h('div', { class: 'hint' });
  root.append(h('h1', { class: 'unseen' }, 'Flows'), problems, hint, figures.root, h('div', { class: 'graph' }, tools, stage));

  let picture = null, chosen = null, width = 0, built = 0, tick = 0;
  const unfold = () => { kept.all = true; draw(); };
  const space = () => Math.max(380, innerHeight - (stage.getBoundingClientRect().top + scrollY) - 60);
  const room = (height) => (kept.all ? Infinity : width < narrow ? 12 : roomFor(height));
  const draw = (next) => {
    const t = store.topology;
    if (!width) return;
    tools.hidden = !kept.query && t.rules.length <= 8 && t.sinks.length <= 12;
    built = space();
    const how = width < narrow ? stack : graph;
    if (picture?.how !== how) {
      picture?.close();
      picture = { how, ...how(stage, unfold) };
      stage.className = how === stack ? 'stage stacked' : 'stage';
    }
    chosen = next ?? pick(t, room(built), kept.query, null);
    picture.draw(t, chosen, width, built);
    tell(t);
  };
  const tell = (t) => {
    const found = chosen.rules.size + chosen.folded.size;
    setText(shown, kept.query ? `${count(found)} of ${count(t.rules.length)} rules match` : chosen.folded.size ? `${count(chosen.rules.size)} of ${count(t.rules.length)} rules: those with problems and the busiest` : `all ${count(t.rules.length)} rules`);
    fold.hidden = !kept.all && !chosen.folded.size;
    setText(fold, kept.all ? 'Fold quiet rules' : 'Show all');
  };
  // A problem in what is folded is shown at once; who is busiest is seen to now
  // and then, so that nothing jumps about.
  const review = () => {
    if (!picture || !width) return;
    const height = space(), t = store.topology;
    if (picture.how === graph && Math.abs(height - built) > 54) { draw(); return; }
    const hidden = store.snapshot.problems.some((p) => p.kind === 'rule' && chosen.folded.has(p.name) || p.kind === 'sink' && !chosen.sinks.has(p.name) && !kept.query);
    if (!hidden && ++tick % 5) return;
    const next = pick(t, room(height), kept.query, chosen);
    if (!samePick(next, chosen) && !stage.contains(document.activeElement)) draw(next);
  };
  const resize = new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 2) return;
    width = entry.contentRect.width;
    draw();
  });
  resize.observe(stage);
  const resized = () => draw();
  addEventListener('resize', resized);
  return {
    rebuild: () => draw(),
    update() {
      listProblems(problems, undefined, calm);
      figures.update();
      advise(hint);
      review();
      picture?.update();
    },
    close() { resize.disconnect(); removeEventListener('resize', resized); picture?.close(); },
  };
}

const received = () => Object.values(store.snapshot.sources).reduce((n, s) => n + s.received, 0);

function calm() {
  if (!store.topology.rules.length) return 'Nothing is stuck.';
  return received() ? 'All is well. Nothing is stuck.' : 'All is well. No message has arrived yet.';
}

// advise says what to do next while there is nothing to see.
function advise(box) {
  const t = store.topology, key = !t.rules.length ? 'rules' : received() ? '' : 'messages';
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.hidden = !key;
  if (key === 'rules') {
    box.replaceChildren(h('h2', {}, 'There are no rules yet'), h('p', {}, 'Messages are received and none is wanted. Add a rule when the pipeline is made, in ', h('code', {}, 'bridge.Config.Rules'), ', or while it runs, with ', h('code', {}, 'Pipeline.SetRule'), '. ', h('a', { href: '#/tester' }, 'Try a statement'), ' first.'));
  } else if (key) {
    const filter = t.rules.flatMap((r) => r.filters).find((f) => !f.startsWith('$')) ?? 'a/topic';
    box.replaceChildren(h('h2', {}, 'Waiting for the first message'), h('p', {}, 'Publish one that a rule wants, for example:'), h('pre', { class: 'code' }, `mosquitto_pub -t '${filter.replaceAll('+', 'x').replace('#', 'x')}' -m '{"temp": 23.5}'`));
  }
}
