// The state that the server streams, and what is computed from it.

export const store = {
  topology: null, snapshot: null, access: { change: false, reason: '' }, connected: false,
  times: [], rules: {}, sinks: {},
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
    store.rules = past.rules;
    for (const [name, s] of Object.entries(past.sinks)) {
      store.sinks[name] = { ...s, p50: s.rate.map(() => null), p99: s.rate.map(() => null) };
    }
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

function remember(s, at) {
  store.times.push(at);
  for (const [name, r] of Object.entries(s.rules)) push(store.rules[name] ??= [], r.rate);
  for (const [name, f] of Object.entries(s.sinks)) {
    const past = store.sinks[name] ??= { queued: [], bytes: [], rate: [], stored: [], p50: [], p99: [] };
    push(past.queued, f.queuing + f.inflight);
    push(past.bytes, f.queuing_bytes);
    push(past.rate, f.rate);
    push(past.stored, f.stored_rate);
    push(past.p50, f.latency.p50 || null);
    push(past.p99, f.latency.p99 || null);
  }
  if (store.times.length <= keep) return;
  store.times.shift();
  for (const list of Object.values(store.rules)) list.shift();
  for (const past of Object.values(store.sinks)) Object.values(past).forEach((list) => list.shift());
}

// push appends a value; what is missing before it, of a new part, is null.
function push(list, value) {
  while (list.length < store.times.length - 1) list.push(null);
  list.push(value);
}

export const problemsOf = (kind, name) => (store.snapshot?.problems ?? []).filter((p) => p.kind === kind && p.name === name);

// level is the condition of a part: ok, warn, bad, off or unknown.
export function level(kind, name) {
  const f = store.snapshot?.[kind + 's']?.[name];
  if (!f) return 'unknown';
  if (f.enabled === false) return 'off';
  const problems = problemsOf(kind, name);
  if (problems.some((p) => p.severity === 'blocked')) return 'bad';
  if (problems.length) return 'warn';
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
