// Who is here, as the terminal told it. Knows nothing of the page.

export const LATEST = 40;

/** Letters that Unicode does not take apart into one of ours and an accent. */
const FOLDED = { ø: 'o', ł: 'l', đ: 'd', ð: 'd', ħ: 'h', ŧ: 't', ı: 'i', ß: 'ss', æ: 'ae', œ: 'oe', þ: 'th' };

/** Without accents and case, for the search. */
export const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase().replace(/[øłđðħŧıßæœþ]/g, (one) => FOLDED[one]);

export class Model {
  /** Whether the terminal has told who is here. */
  known = false;
  people = new Map();
  expected = null;
  fields = [];
  doors = new Map();
  doubts = 0;
  latest = [];
  equipment = { readers: [] };
  /** Whether terminals report who is here, and say of nobody how they came onto the list. */
  reported = false;
  /** What the terminal's clock is ahead of this one. */
  skew = 0;
  seats = [];
  missing = 0;

  now() { return Date.now() + this.skew; }

  /** All of it, anew. */
  reset(state) {
    this.known = !state.unknown;
    this.skew = state.now - Date.now();
    this.fields = state.fields;
    this.equipment = state.equipment;
    this.reported = Boolean(state.reported);
    this.expected = state.expected?.map((one, seat) => ({ ...one, seat, fields: one.fields ?? {}, away: true })) ?? null;
    this.seats = (state.expected ?? []).map(() => 0);
    this.missing = this.seats.length;
    this.people = new Map();
    this.doors = new Map();
    this.doubts = 0;
    for (const person of state.people) this.#enter(person);
    const names = new Map(this.people);
    this.latest = [];
    for (const change of state.latest) {
      if (change.person) names.set(change.person.key, change.person);
      const person = change.person ?? names.get(change.key);
      // Who had left before anything is known says nothing to anybody.
      if (person || change.kind === 'refused') this.#note(change, person);
    }
  }

  /** Takes a change; tells what it means for who is shown: `came`, `went` and `changed`, each a person or an expected one,
   * and `stayed` where whoever it is was here before, or will be again with the next change. */
  take(change) {
    switch (change.kind) {
      case 'arrived': {
        const old = this.people.get(change.person.key);
        const went = old && this.#leave(old);
        const came = this.#enter(change.person);
        return { came, went, stayed: this.#note(change, came) };
      }
      case 'left': {
        const person = this.people.get(change.key);
        if (!person) return {};
        this.#leave(person);
        return { went: person, stayed: this.#note(change, person) };
      }
      case 'doubt': {
        const person = this.people.get(change.key);
        if (!person || Boolean(person.doubt) === change.doubt) return {};
        person.doubt = change.doubt;
        this.doubts += change.doubt ? 1 : -1;
        return { changed: person };
      }
      case 'portrait': {
        const person = this.people.get(change.key);
        if (!person) return {};
        person.portrait = change.portrait;
        return { changed: person };
      }
      case 'refused':
        this.#note(change);
        return { refused: change };
      case 'equipment':
        this.equipment = change.equipment;
        return { equipment: true };
      default:
        return {};
    }
  }

  #enter(person) {
    person.fields ??= {};
    this.people.set(person.key, person);
    this.doors.set(person.door, (this.doors.get(person.door) ?? 0) + 1);
    if (person.doubt) this.doubts += 1;
    if (person.expected !== undefined && this.seats[person.expected]++ === 0) {
      this.missing -= 1;
      this.expected[person.expected].away = false;
    }
    return person;
  }

  #leave(person) {
    this.people.delete(person.key);
    const left = this.doors.get(person.door) - 1;
    // The door stays on the page with its zero.
    this.doors.set(person.door, Math.max(0, left));
    if (person.doubt) this.doubts -= 1;
    if (person.expected !== undefined && --this.seats[person.expected] === 0) {
      this.missing += 1;
      this.expected[person.expected].away = true;
    }
    return person;
  }

  /** Keeps what the list of the latest events shows; tells whether somebody stays, elsewhere or with new information. */
  #note(change, person) {
    const { kind, at, code, reason, key = person?.key } = change;
    if (kind === 'doubt' || kind === 'portrait' || kind === 'equipment') return false;
    const passing = kind === 'left' && (reason === 'moved' || reason === 'updated') ? reason : null;
    const passed = kind === 'arrived' && this.latest[0]?.passing && this.latest[0].key === key ? this.latest.shift().passing : null;
    // Nothing happened that others could see.
    if (passed === 'updated') return true;
    const name = change.name ?? person?.name;
    const moved = passed === 'moved';
    this.latest.unshift({ kind, at, key, code, moved, passing, name, by_hand: kind === 'arrived' && person?.by_hand, door: change.door ?? person?.door });
    this.latest.length = Math.min(this.latest.length, LATEST);
    return moved || passing !== null;
  }
}
