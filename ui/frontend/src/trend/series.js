// The points of one tag on a trend: history, and what comes live behind it.
// A point is a span: from t on, least, greatest and last value; one sample is all three. NaN is
// no usable value. Grades: 0 good, 1 uncertain, 2 bad.
const GRADE = { good: 0, uncertain: 1, bad: 2, none: 2 };
const FIRST = 1024;

export class Series {
  constructor() { this.clear(); }

  clear() {
    this.n = 0;
    this.width = 0; // Of a span of history [ms]; 0 for samples.
    this.gaps = []; // [from, to] in which nothing came.
    this.live = 0; // Points from here on came live.
    this.room(FIRST);
  }

  room(size) {
    for (const name of ['t', 'min', 'max', 'last']) {
      const fresh = new Float64Array(size);
      if (this[name]) fresh.set(this[name].subarray(0, Math.min(this.n, size)));
      this[name] = fresh;
    }
    const fresh = new Uint8Array(size);
    if (this.q) fresh.set(this.q.subarray(0, Math.min(this.n, size)));
    this.q = fresh;
  }

  push(t, min, max, last, q) {
    if (this.n === this.t.length) this.room(this.n * 2);
    const i = this.n++;
    this.t[i] = t; this.min[i] = min; this.max[i] = max; this.last[i] = last; this.q[i] = q;
  }

  // A live sample. Within `step` ms of the point before it widens that one, so that a month
  // that is watched live does not grow by the second.
  append(ts, value, grade, step) {
    const q = GRADE[grade] ?? 2;
    const v = value === null || q === 2 ? NaN : value;
    const i = this.n - 1;
    if (i >= 0 && ts <= this.t[i]) return false;
    const isNumber = v === v;
    if (i >= this.live && ts - this.t[i] < step && q === this.q[i] && isNumber) {
      this.min[i] = Math.min(this.min[i], v);
      this.max[i] = Math.max(this.max[i], v);
      this.last[i] = v;
    } else this.push(ts, v, v, v, q);
    return true;
  }

  // History takes the place of all points up to its end; what came live after it stays.
  setHistory(h, gaps = []) {
    this.width = h.width || 0;
    this.gaps = gaps;
    const end = h.t.length ? h.t[h.t.length - 1] : -Infinity;
    const kept = [];
    for (let i = this.live; i < this.n; i += 1) {
      if (this.t[i] > end) kept.push([this.t[i], this.min[i], this.max[i], this.last[i], this.q[i]]);
    }
    this.n = 0;
    if (this.t.length < h.t.length + kept.length) this.room(h.t.length + kept.length + FIRST);
    this.t.set(h.t); this.min.set(h.min); this.max.set(h.max); this.last.set(h.last); this.q.set(h.q);
    this.n = h.t.length;
    this.live = this.n;
    for (const point of kept) this.push(...point);
  }

  // Forget what is older than a time, in large steps.
  trim(before) {
    const i = this.find(before);
    if (i < FIRST || i < this.n / 2) return;
    for (const name of ['t', 'min', 'max', 'last', 'q']) this[name].copyWithin(0, i, this.n);
    this.n -= i;
    this.live = Math.max(this.live - i, 0);
  }

  // Whether no line leads to a point: before it is none, or nothing usable, or a hole. A span
  // that ends badly is followed by the next at once, unless the device was away.
  isBroken(i) {
    if (i === 0 || this.last[i - 1] !== this.last[i - 1]) return true;
    const before = this.t[i - 1];
    const now = this.t[i];
    if (this.q[i - 1] === 2 && now - before > 2.5 * this.width) return true;
    return this.gaps.some(([from, to]) => from < now && to > before && now - before > (to - from) / 2);
  }

  // Index of the first point at or after a time.
  find(time) {
    let low = 0;
    let high = this.n;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.t[mid] < time) low = mid + 1; else high = mid;
    }
    return low;
  }

  // The point that holds at a time, -1 for none.
  at(time) { return this.find(time + 1e-6) - 1; }

  // {min, max, mean, n} of the usable points within a window.
  stats(from, to) {
    let min = Infinity;
    let max = -Infinity;
    let sum = 0;
    let n = 0;
    for (let i = this.find(from); i < this.n && this.t[i] <= to; i += 1) {
      const v = this.last[i];
      if (v !== v) continue;
      if (this.min[i] < min) min = this.min[i];
      if (this.max[i] > max) max = this.max[i];
      sum += v; n += 1;
    }
    return n ? { min, max, mean: sum / n, n } : { min: NaN, max: NaN, mean: NaN, n: 0 };
  }

  // Stretches of one grade that is not good: [from, to, grade]. The last lasts until `end`.
  lapses(from, to, end) {
    const found = [];
    let i = Math.max(this.find(from) - 1, 0);
    while (i < this.n && this.t[i] <= to) {
      if (!this.q[i]) { i += 1; continue; }
      const grade = this.q[i];
      const start = this.t[i];
      while (i < this.n && this.q[i] === grade) i += 1;
      found.push([start, i < this.n ? this.t[i] : Math.max(end, start), grade]);
    }
    return found;
  }
}
