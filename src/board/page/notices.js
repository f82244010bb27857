// What has just happened: newcomers in front, refusals that nobody misses, the last events, and words for screen readers.

import { faults } from './faults.js';
import { clock, moment, number, refusal, span, t } from './texts.js';
import { details, element, face, say } from './tiles.js';

const FORWARD = 6000;
const IN_FRONT = 3;
const RECENT = 60000; // what happened longer ago is news only to this page
const NEXT = 500; // where many come at once, their tiles and the last events tell of the others
const REFUSED = 15000;
const REFUSALS = 3;
const SAY_EVERY = 4000;
const SAY_NAMES = 3;

const line = (kind, text) => element('span', kind, undefined, ...(text ? [element('bdi', '', text)] : []));

export class Notices {
  #model;
  #places;
  #said = { came: [], went: [], cameCount: 0, wentCount: 0 };
  #timer = 0;
  #alarms = [];
  #alarmTimer = 0;
  #forwarded = 0;
  #rows = new WeakMap();
  /** What had the focus before a refusal. */
  #before = null;

  constructor(model, places) {
    this.#model = model;
    this.#places = places;
    places.refusals.addEventListener('focusin', ({ relatedTarget }) => {
      if (!places.refusals.contains(relatedTarget)) this.#before = relatedTarget;
    });
    addEventListener('keydown', (event) => {
      if (event.key === 'Escape') places.refusals.firstElementChild?.close();
    });
  }

  take({ came, went, changed, stayed, refused }) {
    if (changed?.portrait) {
      const card = [...this.#places.forward.children].find((one) => one.dataset.key === String(changed.key));
      card?.querySelector('.face').replaceWith(face(changed));
    }
    if (came && !stayed) this.#forward(came);
    if (refused) this.#refuse(refused);
    if (came && !stayed) this.#say('came', came.name);
    if (went && !came && !stayed) this.#say('went', went.name);
  }

  /** A newcomer comes forward for some seconds. */
  #forward(person) {
    if (this.#model.now() - person.since > RECENT) return;
    const place = this.#places.forward;
    const now = performance.now();
    if (place.childElementCount > 0 && now - this.#forwarded < NEXT) return;
    this.#forwarded = now;
    const card = element('div', 'card', undefined, face(person),
      element('div', 'who', undefined, line('name', person.name || t('unnamed')), line('more', details(person)), line('door', person.door)));
    card.dataset.key = person.key;
    place.prepend(card);
    setTimeout(() => card.remove(), FORWARD);
    while (place.children.length > IN_FRONT) place.lastElementChild.remove();
  }

  /** A refusal stays until it was read, or closed. */
  #refuse({ door, code, name, at }) {
    if (this.#model.now() - at > RECENT) return;
    const close = element('button', 'close');
    close.type = 'button';
    const sign = element('span', 'sign', '✕');
    sign.setAttribute('aria-hidden', 'true');
    const [what, why] = [element('span'), element('p', 'why')];
    const title = element('h2', '', undefined, what, ...(name ? [': ', element('bdi', 'name', name)] : []));
    const where = element('p', 'where', undefined, element('bdi', '', door), ' · ', clock(at));
    const card = element('article', 'refusal', undefined, sign, element('div', 'words', undefined, title, why, where), close);
    card.dataset.code = code;
    card.reword = () => {
      what.textContent = t('refused');
      why.textContent = refusal(code);
      close.textContent = t('close');
    };
    card.reword();
    card.close = () => {
      clearTimeout(timer);
      if (card.contains(document.activeElement)) this.#passFocus(card);
      card.remove();
    };
    close.addEventListener('click', card.close);
    const timer = setTimeout(card.close, REFUSED);
    const place = this.#places.refusals;
    place.prepend(card);
    while (place.children.length > REFUSALS) place.lastElementChild.close();
    this.#alarms.push(t('say-refused', { door, why: refusal(code) }));
    if (!this.#alarmTimer) this.#alarm();
  }

  /** The focus goes from a refusal to the next one, or back to where it was; what was there may be drawn anew. */
  #passFocus(card) {
    const next = (card.nextElementSibling ?? card.previousElementSibling)?.querySelector('.close');
    const before = this.#before?.isConnected ? this.#before : this.#before && this.#places.people;
    (next ?? before)?.focus({ preventScroll: true });
  }

  /** Refusals are said at once, those of the next seconds together after that: what is replaced too soon is never heard. */
  #alarm() {
    this.#alarmTimer = 0;
    const all = this.#alarms.splice(0);
    if (all.length === 0) return;
    const words = [...new Set(all)].slice(0, SAY_NAMES);
    // Two people at one door with one reason are one sentence.
    const more = all.filter((sentence) => !words.includes(sentence)).length;
    if (more > 0) words.push(t('say-more-refused', { count: more, n: more }));
    this.#places.alarm.textContent = words.join(' ');
    this.#alarmTimer = setTimeout(() => this.#alarm(), SAY_EVERY);
  }

  /** Words for screen readers: what happened in some seconds, in one sentence. */
  #say(what, name) {
    this.#said[`${what}Count`] += 1;
    if (this.#said[what].length <= SAY_NAMES) this.#said[what].push(name || t('unnamed'));
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      const { came, went, cameCount, wentCount } = this.#said;
      this.#said = { came: [], went: [], cameCount: 0, wentCount: 0 };
      const words = [];
      if (cameCount) words.push(cameCount <= SAY_NAMES ? t('say-came', { names: came.join(', ') }) : t('say-many-came', { count: cameCount, n: cameCount }));
      if (wentCount) words.push(wentCount <= SAY_NAMES ? t('say-went', { names: went.join(', ') }) : t('say-many-went', { count: wentCount, n: wentCount }));
      words.push(t('say-present', { n: this.#model.people.size }));
      this.#places.said.textContent = words.join(' ');
    }, SAY_EVERY);
  }

  /** The last events, the newest first. */
  latest() {
    const place = this.#places.latest;
    const rows = this.#model.latest.filter((one) => !one.passing).slice(0, 30).map((one) => {
      if (!this.#rows.has(one)) this.#rows.set(one, this.#row(one));
      return this.#rows.get(one);
    });
    const wanted = new Set(rows);
    for (const row of [...place.children]) if (!wanted.has(row)) row.remove();
    rows.forEach((row, at) => { if (place.children[at] !== row) place.insertBefore(row, place.children[at] ?? null); });
  }

  #row(one) {
    const what = one.kind === 'refused' ? t(one.name ? 'was-refused' : 'refused') : one.kind === 'left' ? t('left') : one.moved ? t('moved') : t(one.by_hand ? 'entered' : 'arrived');
    const name = one.name || (one.kind === 'refused' ? '' : t('unnamed'));
    const time = element('time', '', moment(one.at, this.#model.now()));
    time.at = one.at;
    time.dateTime = new Date(one.at).toISOString();
    const sign = element('span', 'sign', { refused: '✕', left: '←', arrived: '→' }[one.kind]);
    sign.setAttribute('aria-hidden', 'true');
    const row = element('li', one.kind, undefined, sign,
      element('div', '', undefined, element('bdi', 'name', name), ' ', element('span', 'what', what),
        element('bdi', 'door', one.door ?? '')), time);
    if (one.kind === 'refused') row.children[1].append(element('p', 'why', refusal(one.code)));
    return row;
  }

  /** The words have changed: what is there is written again. */
  reword() {
    this.#rows = new WeakMap();
    this.#places.numbers.dataset.kinds = '';
    this.#places.faults.dataset.key = '';
    for (const card of this.#places.refusals.children) card.reword();
  }

  /** What is out of order, and that the connection is lost. */
  faults(lostSince) {
    const now = this.#model.now();
    const all = faults(this.#model.equipment, now).map(({ what, means, at }) => ['', what, means, at]);
    if (lostSince) all.unshift(['lost', t('lost', { time: moment(lostSince, now) }), t('lost-means')]);
    const key = JSON.stringify(all);
    if (this.#places.faults.dataset.key === key) return;
    this.#places.faults.dataset.key = key;
    this.#places.faults.replaceChildren(...all.map(([kind, what, means, at]) => {
      const sign = element('span', 'sign', '!');
      sign.setAttribute('aria-hidden', 'true');
      const made = element('p', kind, undefined, sign, element('strong', '', what), means ? ` ${means}` : '');
      if (at) {
        const age = element('span', 'age');
        // It changes every minute, and nobody wants to hear that.
        age.setAttribute('aria-live', 'off');
        age.since = at;
        made.append(' ', age);
      }
      return made;
    }));
    this.tick();
  }

  /** Brings what depends on the time up to date. */
  tick() {
    const now = this.#model.now();
    for (const age of this.#places.faults.querySelectorAll('.age')) say(age, `(${span(now - age.since)})`);
    for (const time of this.#places.latest.querySelectorAll('time')) say(time, moment(time.at, now));
  }

  /** The big numbers. */
  numbers() {
    const { known, people, doubts, expected, missing } = this.#model;
    const all = [];
    // A zero would say that nobody is here.
    if (known) all.push(['present', people.size, t('present', { count: people.size }), '']);
    if (known && expected) all.push(['expected', expected.length - missing, t('expected-here'), t('of', { n: expected.length })]);
    if (known && expected) all.push(['missing', missing, t('missing', { count: missing }), '']);
    if (doubts) all.push(['doubt', doubts, t('doubt', { count: doubts }), '']);
    const place = this.#places.numbers;
    const kinds = all.map(([kind]) => kind).join(' ');
    if (place.dataset.kinds !== kinds) {
      place.dataset.kinds = kinds;
      place.replaceChildren(...all.map(([kind]) => {
        const made = element('div', kind, undefined, element('dt'), element('dd', '', undefined, element('b'), element('small')));
        return made;
      }));
    }
    all.forEach(([, n, words, of], at) => {
      const [dt, dd] = place.children[at].children;
      say(dt, words);
      say(dd.firstElementChild, number(n));
      say(dd.lastElementChild, of);
    });
  }
}

