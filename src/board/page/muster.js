// The muster list: on paper, from what this page knows, also when the network is gone.

import { faults } from './faults.js';
import { collator, moment, number, t, wholeDate } from './texts.js';
import { element, marks } from './tiles.js';

function table(rows, heads) {
  const head = element('tr', '', undefined, ...heads.map((text) => element('th', '', text)));
  for (const cell of head.children) cell.scope = 'col';
  return element('table', '', undefined, element('thead', '', undefined, head), element('tbody', '', undefined, ...rows));
}

const cell = (text, kind) => element('td', kind, undefined, element('bdi', '', text));

/** Writes the list into its place. */
export function write(model, place, title, lostSince) {
  const now = model.now();
  const head = (count) => [
    element('h1', '', undefined, element('bdi', '', title)),
    element('p', 'when', [t('muster'), wholeDate(now), ...count].join(' · ')),
  ];
  place.hidden = false;
  if (!model.known) {
    // A zero would say that nobody is here.
    place.replaceChildren(...head([]), element('p', 'lost', t('muster-unknown')));
    return;
  }
  const byName = (one, other) => collator.compare(one.name, other.name);
  const people = [...model.people.values()].sort(byName);
  const fields = model.fields;
  const own = (person) => fields.map((field) => cell(person.fields[field] ?? ''));
  const box = () => element('td', 'box', undefined, element('span', 'tick'));
  const rows = people.map((person) => element('tr', '', undefined, box(), cell(person.name || t('unnamed'), 'name'), ...own(person),
    cell(person.door), cell(moment(person.since, now) + (marks(person) && ` (${marks(person)})`))));
  const parts = head([`${t('present', { count: people.length })}: ${number(people.length)}`]);
  if (lostSince) parts.push(element('p', 'lost', t('muster-lost', { time: wholeDate(lostSince) })));
  for (const { what, means } of faults(model.equipment, now)) parts.push(element('p', 'lost', means ? `${what} ${means}` : what));
  parts.push(table(rows, [t('muster-tick'), t('muster-name'), ...fields, t('muster-door'), t('muster-since')]));
  const missing = (model.expected ?? []).filter((one) => one.away).sort(byName);
  if (missing.length > 0) {
    parts.push(element('h2', '', `${t('muster-missing')}: ${number(missing.length)}`));
    const rows = missing.map((one) => element('tr', '', undefined, box(), cell(one.name, 'name'), ...own(one)));
    parts.push(table(rows, [t('muster-tick'), t('muster-name'), ...fields]));
  }
  place.replaceChildren(...parts);
}

/** Takes it away: on the screen it is not needed. */
export function clear(place) {
  place.hidden = true;
  place.replaceChildren();
}
