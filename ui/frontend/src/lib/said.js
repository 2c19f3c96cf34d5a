// What the gateway has said in English, told in the language of the page: gateway/flow/said.py in
// the browser, where decision record 0041 stands behind both. Records and the live connection stay
// English; values are put into the translation as they stand, so no number is ever written anew.
const FIELD = /\{(\w+)\}/g;
const CHARS_MAX = 4000;
const SENTENCES_MAX = 12;
const DEPTH_MAX = 4;
const KEPT_MAX = 2000;
const BETWEEN = /(?<=[.?!]) /g;
const PLACE = /^([^ ]+:[0-9]+(?: [^ ]+)?: )([^\n]+)$/;
const PROSE = /^(There|It|Its|This|That|These|The|An?|No|None|Nothing|Nobody|Not|Another|What|When|Only)( |$)/;

const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

export class Sayings {
  constructor(pairs, kinds) {
    this.pairs = new Map(Object.entries(pairs));
    this.kinds = kinds;
    this.kept = new Map();
    this.parts = new Map();
    this.templates = [];
    for (const [text, other] of this.pairs) {
      const parts = text.split(FIELD);
      if (parts.length === 1 || !other) continue;
      const fields = parts.filter((_, i) => i % 2).map((name) => ({ name, kind: this.kind(name) }));
      const literals = parts.filter((_, i) => i % 2 === 0);
      const key = literals.reduce((a, b) => (b.length > a.length ? b : a));
      const isTight = fields.slice(0, -1).every((field) => field.kind !== undefined);
      this.templates.push({ fields, literals, other, key, isTight, weight: literals.join('').length });
    }
    const isWhole = (one) => one.fields.some((field) => field.name === 'whole');
    this.templates.sort((a, b) => isWhole(b) - isWhole(a));
  }

  kind(name) {
    const base = name.replace(/[0-9]+$/, '');
    return Object.hasOwn(this.kinds, base) ? this.kinds[base] : undefined;
  }

  of(text) {
    if (!text || typeof text !== 'string' || text.length > CHARS_MAX) return text || '';
    if (!this.kept.has(text)) {
      if (this.kept.size >= KEPT_MAX) this.kept.clear();
      this.kept.set(text, this.said(text, 0)[0]);
      this.parts.clear();
    }
    return this.kept.get(text);
  }

  said(text, depth) {
    let one = this.one(text, depth);
    const spots = [...text.matchAll(BETWEEN)].map((m) => m.index);
    if (spots.length && spots.length < SENTENCES_MAX) {
      const several = this.several(text, [-1, ...spots, text.length], depth);
      if (several[1] >= one[1]) one = several;
    }
    const found = depth < DEPTH_MAX && PLACE.exec(text);
    if (found) {
      const [inner, weight] = this.said(found[2], depth + 1);
      if (weight >= one[1]) one = [found[1] + inner, weight];
    }
    return one;
  }

  // Sentence by sentence, cut where most of it is known, and rather cut than not: or the last value
  // of a sentence would swallow the sentence behind it.
  several(text, cuts, depth) {
    const best = [[0, []]];
    for (let end = 1; end < cuts.length; end += 1) {
      let most = null;
      for (let begin = 0; begin < end; begin += 1) {
        const [said, weight] = this.one(text.slice(cuts[begin] + 1, cuts[end]), depth);
        const [before, parts] = best[begin];
        const option = [before + weight, [...parts, [said, weight > 0]]];
        if (!most || option[0] > most[0] || (option[0] === most[0] && option[1].length > most[1].length)) most = option;
      }
      best.push(most);
    }
    const [weight, parts] = best.at(-1);
    const joined = parts.reduce((all, [said, known], i) => all + (i && !(known && parts[i - 1][1]) ? ` ${said}` : said), '');
    return [joined, weight];
  }

  // Each part of a text is looked at once.
  one(text, depth) {
    const key = `${depth} ${text}`;
    if (!this.parts.has(key)) this.parts.set(key, this.lookedUp(text, depth));
    return this.parts.get(key);
  }

  lookedUp(text, depth) {
    const other = this.pairs.get(text);
    if (other) return [other, text.length];
    let best = [text, 0];
    if (depth >= DEPTH_MAX) return best;
    for (const template of this.templates) {
      if (!text.includes(template.key) || !text.startsWith(template.literals[0]) || !text.endsWith(template.literals.at(-1))) continue;
      const found = this.filled(template, text, depth);
      if (found && found[1] > best[1]) best = found;
    }
    return best;
  }

  filled(template, text, depth) {
    const match = this.pattern(template, '?').exec(text);
    if (!match) return null;
    if (!template.isTight) {
      const again = this.pattern(template, '').exec(text);
      if (!again || again.some((value, i) => value !== match[i])) return null; // It could be read in another way, too.
    }
    const values = new Map();
    let { weight } = template;
    for (const [i, { name, kind }] of template.fields.entries()) {
      let value = match[i + 1];
      if (!kind) {
        const [said, more] = this.value(value, depth + 1);
        const isProse = i === 0 && !template.literals[0] && PROSE.test(said);
        if (!more && (kind === '' || isProse)) return null;
        value = said;
        weight += more;
      }
      values.set(name, value);
    }
    return [template.other.replace(FIELD, (all, name) => values.get(name) ?? all), weight];
  }

  // What stands inside a sentence: often one itself, without its full stop.
  value(text, depth) {
    if (!text.includes(' ')) return [text, 0]; // A name, which is never told in other words.
    const found = this.said(text, depth);
    if (found[1] === 0 && !/[.?!]$/.test(text)) {
      const [said, weight] = this.said(`${text[0].toUpperCase()}${text.slice(1)}.`, depth);
      if (weight) return [said.replace(/。$/, ''), weight];
    }
    return found;
  }

  pattern(template, lazy) {
    const known = lazy ? 'short' : 'long';
    template[known] ??= new RegExp(`^${plain(template.literals[0])}${template.fields.map(({ kind }, i) => `(${kind || `.+${lazy}`})${plain(template.literals[i + 1])}`).join('')}$`, 's');
    return template[known];
  }
}

let sayings = null;

// A sentence of the gateway in the language of the page; as it is, where nothing is known for it.
export function said(text) {
  const found = window.genba?.said;
  if (!found?.texts || !Object.keys(found.texts).length) return text || '';
  sayings ??= new Sayings(found.texts, found.kinds);
  const kept = sayings.of(text);
  return kept === text ? window.genba.texts[text] || text : kept;
}
