// The kinds of widgets: what each is called, how large a new one is, and which settings it has.
import { t } from '../lib/i18n.js';
import { said } from '../lib/said.js';

const LIMITS = { name: 'limits', kind: 'limits', title: t('Limits') };
const LOW = { name: 'low', kind: 'number', title: t('Scale from') };
const HIGH = { name: 'high', kind: 'number', title: t('Scale to') };
const WINDOW = { name: 'window_s', kind: 'window', title: t('Time shown') };
const tag = (title = t('Tag')) => ({ name: 'tag', kind: 'tag', title });
const tags = (max) => ({ name: 'tags', kind: 'tags', max, title: t('Tags') });

export const KINDS = {
  trend: { title: t('Trend'), icon: '∿', size: [12, 8], fields: [tags(8), WINDOW, LOW, HIGH], fresh: { tags: [], window_s: 600 } },
  number: { title: t('Number'), icon: '42', size: [4, 4], fields: [tag(), { name: 'digits', kind: 'integer', title: t('Figures'), low: 1, high: 12 }, { name: 'spark_s', kind: 'integer', title: t('Line of the last seconds'), low: 0, high: 86400 }, LIMITS], fresh: { tag: '', digits: 4, spark_s: 300 } },
  gauge: { title: t('Gauge'), icon: '◔', size: [5, 6], fields: [tag(), LOW, HIGH, LIMITS], fresh: { tag: '' } },
  bar: { title: t('Bars'), icon: '▤', size: [8, 6], fields: [tags(16), LOW, HIGH, LIMITS], fresh: { tags: [] } },
  timeline: { title: t('States over time'), icon: '▬', size: [12, 4], fields: [tags(12), WINDOW, { name: 'states', kind: 'states', title: t('Words for values') }], fresh: { tags: [], window_s: 3600, states: {} } },
  table: { title: t('Table'), icon: '▦', size: [8, 8], fields: [tags(100)], fresh: { tags: [] } },
  alarms: { title: t('Alarms'), icon: '▲', size: [10, 6], fields: [{ name: 'prefix', kind: 'text', title: t('Only tags that begin with') }, { name: 'rows', kind: 'integer', title: t('Rows'), low: 1, high: 200 }], fresh: { prefix: '', rows: 20 } },
  image: { title: t('Picture'), icon: '▣', size: [12, 10], fields: [{ name: 'picture', kind: 'picture', title: t('Picture') }, { name: 'spots', kind: 'spots', title: t('Values on it') }], fresh: { picture: '', spots: [] } },
  spectrum: { title: t('Spectrum'), icon: '┃', size: [12, 8], fields: [tag(t('Vibration')), { name: 'waterfall', kind: 'bool', title: t('Over time as well') }, WINDOW], fresh: { tag: '', waterfall: true, window_s: 600 } },
  text: { title: t('Text'), icon: 'T', size: [6, 4], fields: [{ name: 'text', kind: 'long', title: t('Text, in Markdown') }], fresh: { text: '' } },
  setpoint: { title: t('Setpoint'), icon: '⇥', size: [5, 5], fields: [{ name: 'flow', kind: 'text', title: t('Flow') }, { name: 'node', kind: 'text', title: t('Node that writes') }, tag()], fresh: { flow: '', node: '', tag: '' } },
};

// What a widget is called: its title, else what it shows.
export function titleOf(widget) {
  if (widget.title) return said(widget.title);
  const one = widget.tag || (widget.tags?.length === 1 ? widget.tags[0] : '');
  return one ? one.split('/').slice(-2).join(' / ') : KINDS[widget.type]?.title || widget.type;
}

export function tagsOf(widget) {
  if (widget.tags) return widget.tags;
  if (widget.spots) return widget.spots.map((spot) => spot.tag);
  return widget.tag ? [widget.tag] : [];
}
