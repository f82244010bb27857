// What the terminal tells: the state, then each change once, over any number of connections.

const QUIET = 25000; // the terminal says something every ten seconds
const LONGEST_PAUSE = 10000;
const TOO_MANY = 429;
const REDEEMED = 'redeemed';

/** Redeems the secret of a link, which stands behind the # of the address, and takes it out of there. */
export async function redeem() {
  const secret = location.hash.slice(1);
  if (secret.length < 32) return;
  history.replaceState(null, '', location.pathname);
  const options = { method: 'POST', headers: { Authorization: `Bearer ${secret}` } };
  await insist(async () => (await fetch('/login', { ...options, signal: AbortSignal.timeout(QUIET) })).status !== TOO_MANY);
  dispatchEvent(new Event(REDEEMED));
}

/** A file of JSON; where it cannot be had yet, it is asked for again. */
export const load = (path) => insist(async () => {
  const answer = await fetch(path, { signal: AbortSignal.timeout(QUIET) });
  return answer.ok && answer.json();
});

/** What an attempt comes to, which is made again until it comes to something. */
async function insist(attempt) {
  for (let failures = 0; ; failures += 1) {
    const value = await attempt().catch(() => null);
    if (value) return value;
    await backOff(failures);
  }
}

/** Follows the stream for ever. `on` has state, change, up, down and denied. */
export async function follow(on) {
  let last = null;
  let failures = 0;
  for (;;) {
    const stop = new AbortController();
    let watchdog = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), QUIET);
    };
    try {
      alive();
      const answer = await fetch('/events', {
        headers: last ? { 'Last-Event-ID': last } : {}, cache: 'no-store', signal: stop.signal,
      });
      if (answer.status === 401) {
        on.denied();
        // Nothing is left of what it was told.
        last = null;
      } else if (answer.ok) {
        for await (const message of messages(answer.body, () => { alive(); on.up(); failures = 0; })) {
          on[message.event === 'state' ? 'state' : 'change'](JSON.parse(message.data));
          last = message.id ?? last;
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError || error.name === 'AbortError')) console.error(error);
    }
    clearTimeout(watchdog);
    on.down();
    await backOff(failures);
    failures += 1;
  }
}

/** The messages of a stream of events (HTML Living Standard, 9.2.6), as far as the terminal uses it. */
async function* messages(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    // A message may come in many pieces: only the new one is searched for its end.
    let from = Math.max(0, rest.length - 1);
    rest += value;
    for (let end = rest.indexOf('\n\n', from); end >= 0; end = rest.indexOf('\n\n')) {
      const lines = rest.slice(0, end).split('\n');
      rest = rest.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data');
      if (data !== undefined) yield { event: field('event'), id: field('id'), data };
    }
  }
}

/** Waits longer after each failure. */
const backOff = (failures) => pause(Math.min(LONGEST_PAUSE, 400 * 2 ** failures) * (0.75 + Math.random() / 2));

/** Waits, and less when the network or the user comes back, or a link was redeemed. */
function pause(ms) {
  return new Promise((done) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener('online', over);
      removeEventListener(REDEEMED, over);
      document.removeEventListener('visibilitychange', seen);
      done();
    };
    const seen = () => { if (!document.hidden) over(); };
    const timer = setTimeout(over, ms);
    addEventListener('online', over);
    addEventListener(REDEEMED, over);
    document.addEventListener('visibilitychange', seen);
  });
}
