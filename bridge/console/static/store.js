// The state that the server streams, and what is computed from it.

export const store = {
  topology: null, snapshot: null, access: { change: false, reason: '' }, connected: false,
  // The past, by columns that are as long as times; null is what is not known.
  times: [], past: { sources: {}, rules: {}, sinks: {}, totals: {} },
};

const keep = 600; // seconds of history

const listeners = new Set();

// watch calls listener after each change, until the returned function is called.
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (what) => listeners.forEach((l) => l(what));

export function connect() {
  const events = new EventSource('api/stream');
  const on = (name, handle) => events.addEventListener(name, (e) => { handle(JSON.parse(e.data)); tell(name); });
  on('access', (a) => { store.access = a; store.connected = true; });
  on('topology', (t) => { store.topology = t; });
  on('history', (past) => {
    if (store.times.length) return; // a reconnection: what is known is longer
    store.times = past.times.map((t) => t / 1000);
    Object.assign(store.past, { sources: past.sources, rules: past.rules, sinks: past.sinks });
    for (const s of Object.values(past.sinks)) for (const key of times) s[key] = s[key].map((v) => v || null);
    store.past.totals = totalsOf(past, past.times.length);
  });
  on('snapshot', (s) => {
    const at = Date.parse(s.time) / 1000, last = store.times.at(-1) ?? 0;
    store.snapshot = s;
    store.connected = true;
    if (at > last) remember(s, at);
  });
  events.onerror = () => {
    if (!store.connected) return;
    store.connected = false;
    tell('connection');
  };
}

const times = ['p50', 'p95', 'p99'];

// what is plotted of each kind of part.
const figures = {
  sources: (f) => ({ rate: f.rate, bytes: f.bytes_rate }),
  rules: (f) => ({ matched: f.rate, passed: f.passed_rate, exceptions: f.exception_rate, records: f.actions_rate }),
  sinks: (f) => ({
    queued: f.queuing + f.inflight, bytes: f.queuing_bytes, rate: f.rate, stored: f.stored_rate, failed: f.failed_rate, retried: f.retried_rate,
    p50: f.latency.p50 || null, p95: f.latency.p95 || null, p99: f.latency.p99 || null,
  }),
};

// totals are the figures of the whole pipeline.
export function totals(s) {
  const sum = (parts, key) => Object.values(parts).reduce((n, p) => n + p[key], 0);
  return {
    received: sum(s.sources, 'rate'), stored: sum(s.sinks, 'stored_rate'), failed: sum(s.sinks, 'failed_rate'),
    waiting: sum(s.sinks, 'queuing') + sum(s.sinks, 'inflight'),
    p99: Math.max(0, ...Object.values(s.sinks).map((f) => f.latency.p99)) || null,
  };
}

function totalsOf(past, length) {
  const all = (parts, key, join) => Array.from({ length }, (_, i) => Object.values(parts).reduce((n, p) => join(n, p[key][i] ?? 0), 0));
  const add = (a, b) => a + b;
  return {
    received: all(past.sources, 'rate', add), stored: all(past.sinks, 'stored', add), failed: all(past.sinks, 'failed', add),
    waiting: all(past.sinks, 'queued', add), p99: all(past.sinks, 'p99', Math.max).map((v) => v || null),
  };
}

function remember(s, at) {
  store.times.push(at);
  for (const [kind, of] of Object.entries(figures)) {
    for (const [name, f] of Object.entries(s[kind])) append(store.past[kind][name] ??= {}, of(f));
  }
  append(store.past.totals, totals(s));
  if (store.times.length <= keep) return;
  store.times.shift();
  for (const kind of Object.keys(figures)) for (const past of Object.values(store.past[kind])) shift(past);
  shift(store.past.totals);
}

const append = (past, values) => { for (const [key, v] of Object.entries(values)) push(past[key] ??= [], v); };
const shift = (past) => Object.values(past).forEach((list) => list.shift());

// push appends a value; what is missing before it, of a new part, is null.
function push(list, value) {
  while (list.length < store.times.length - 1) list.push(null);
  list.push(value);
}

export const problemsOf = (kind, name) => (store.snapshot?.problems ?? []).filter((p) => p.kind === kind && p.name === name);

// heldBy names the sinks that the sources wait for.
export const heldBy = () => (store.snapshot?.problems ?? []).filter((p) => p.holds_up).map((p) => p.name);

// level is the condition of a part: ok, warn, bad, off or unknown.
export function level(kind, name) {
  const f = store.snapshot?.[kind + 's']?.[name];
  if (!f) return 'unknown';
  if (f.enabled === false) return 'off';
  const problems = problemsOf(kind, name);
  if (problems.some((p) => p.severity === 'blocked')) return 'bad';
  if (problems.length) return 'warn';
  if (kind === 'source' && heldBy().length) return 'warn';
  if (f.health?.state === 'connecting') return f.success || f.received ? 'ok' : 'unknown';
  return 'ok';
}

// call asks the API; it throws with the server's words.
export async function call(method, path, body) {
  const reply = await fetch('api/' + path, {
    method, headers: body ? { 'Content-Type': 'application/json' } : {}, body: body ? JSON.stringify(body) : undefined,
  });
  const data = await reply.json().catch(() => ({ error: reply.statusText }));
  if (!reply.ok) throw new Error(data.error || reply.statusText);
  return data;
}
