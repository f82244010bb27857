// The page of who is here.

import { Model } from './model.js';
import { clear, write } from './muster.js';
import { Notices } from './notices.js';
import { follow, load, redeem } from './stream.js';
import { begin, clock, collator, number, remember, remembered, t } from './texts.js';
import { Tiles, element, say } from './tiles.js';

const SOON = 2000; // a connection that is back by then was not missed
const at = (id) => document.getElementById(id);
const model = new Model();
const tiles = new Tiles(model, at('people'));
const notices = new Notices(model, {
  forward: at('forward'), refusals: at('refusals'), said: at('said'), alarm: at('alarm'), latest: at('latest'),
  faults: at('faults'), numbers: at('numbers'), people: at('people'),
});
let about = { title: null, texts: null };
let heard = Date.now();
let lostSince = null;
let lostTimer = 0;
let due = false;

/** Everything beside the tiles, once a frame. */
function show() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    notices.numbers();
    notices.latest();
    notices.faults(lostSince);
    doors();
    const nobody = tiles.count === 0;
    at('empty').hidden = !nobody || !model.known;
    if (nobody) {
      const searched = tiles.query.trim() !== '' || tiles.door !== null;
      at('empty').textContent = searched ? t('nobody-found') : tiles.missing ? t('nobody-missing') : t('nobody');
    }
    const name = about.title ?? t('title');
    const title = model.known ? `${number(model.people.size)} · ${name}` : name;
    if (document.title !== title) document.title = title;
    say(at('title'), name);
    say(at('proof'), t(model.reported ? 'proof-reported' : 'proof'));
  });
}

/** A button for each door, with how many are there; it shows those alone. */
function doors() {
  const place = at('doors');
  const names = [...model.doors.keys()].sort(collator.compare);
  const key = JSON.stringify(names);
  if (place.dataset.key !== key) {
    place.dataset.key = key;
    place.replaceChildren(...names.map((name) => {
      const button = element('button', 'chip', undefined, element('bdi', '', name), ' ', element('b'));
      button.type = 'button';
      button.addEventListener('click', () => {
        tiles.door = tiles.door === name ? null : name;
        tiles.rebuild();
        show();
      });
      return button;
    }));
  }
  names.forEach((name, index) => {
    const button = place.children[index];
    button.setAttribute('aria-pressed', String(tiles.door === name));
    say(button.lastElementChild, number(model.doors.get(name)));
  });
  place.hidden = names.length < 2;
}

function link() {
  const lost = lostSince !== null;
  at('link').classList.toggle('lost', lost);
  at('link-text').textContent = lost ? t('link-lost') : t('link-live');
}

function time() {
  const now = model.now();
  at('clock').textContent = clock(now);
  at('clock').dateTime = new Date(now).toISOString();
}

function fields() {
  const select = at('group');
  // At first it is the remembered one, which has no option yet.
  const old = tiles.group;
  for (const option of [...select.options].slice(2)) option.remove();
  for (const field of model.fields) select.add(new Option(field, `field:${field}`));
  select.value = [...select.options].some((option) => option.value === old) ? old : '';
  tiles.group = select.value;
  document.documentElement.classList.toggle('with-fields', model.fields.length > 0);
}

function view(missing) {
  tiles.missing = missing;
  at('view-here').setAttribute('aria-pressed', String(!missing));
  at('view-missing').setAttribute('aria-pressed', String(missing));
  tiles.rebuild();
  show();
}

function choices() {
  const again = () => { tiles.rebuild(); show(); };
  at('tools').addEventListener('submit', (event) => event.preventDefault());
  at('search').addEventListener('input', (event) => { tiles.query = event.target.value; again(); });
  for (const name of ['sort', 'group']) {
    tiles[name] = remembered(`rollcall.${name}`) ?? at(name).value;
    at(name).value = tiles[name];
    at(name).addEventListener('change', (event) => {
      tiles[name] = event.target.value;
      remember(`rollcall.${name}`, event.target.value);
      again();
    });
  }
  at('view-here').addEventListener('click', () => view(false));
  at('view-missing').addEventListener('click', () => view(true));
  const theme = (value) => { document.documentElement.dataset.theme = value; };
  at('theme').value = remembered('rollcall.theme') ?? '';
  theme(at('theme').value);
  at('theme').addEventListener('change', (event) => {
    remember('rollcall.theme', event.target.value);
    theme(event.target.value);
  });
  at('print').addEventListener('click', () => print());
  addEventListener('beforeprint', () => write(model, at('muster'), about.title ?? t('title'), lostSince));
  addEventListener('afterprint', () => clear(at('muster')));
}

const on = {
  state(state) {
    model.reset(state);
    // Its button is gone.
    if (!model.doors.has(tiles.door)) tiles.door = null;
    fields();
    at('views').hidden = !model.expected;
    if (!model.expected) tiles.missing = false;
    document.documentElement.classList.remove('loading');
    at('closed').hidden = true;
    tiles.rebuild();
    time();
    show();
  },
  change(change) {
    const what = model.take(change);
    tiles.take(what);
    notices.take(what);
    show();
  },
  up() {
    heard = Date.now();
    clearTimeout(lostTimer);
    lostTimer = 0;
    if (lostSince === null && at('link-text').textContent) return;
    lostSince = null;
    link();
    show();
  },
  down() {
    const since = heard + model.skew;
    lostTimer ||= setTimeout(() => {
      lostSince ??= since;
      link();
      show();
    }, SOON);
  },
  denied() {
    // What was seen before may be seen no more.
    model.reset({ now: Date.now(), unknown: true, fields: [], people: [], latest: [], equipment: { readers: [] } });
    tiles.rebuild();
    document.documentElement.classList.add('loading');
    at('closed').hidden = false;
    show();
  },
};

about = await load('/about.json');
choices();
await begin(about.texts, at('language'), () => {
  tiles.rebuild();
  time();
  link();
  notices.reword();
  show();
});
// A link may be pasted where the board is open already.
addEventListener('hashchange', redeem);
await redeem();
setInterval(() => { time(); tiles.tick(); notices.tick(); notices.faults(lostSince); }, 5000);
time();
follow(on);
