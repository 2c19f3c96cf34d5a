// A small Markdown: headings, lists, tables no; bold, italic, code, links within this gateway.
// It makes elements, never HTML from text, so that nothing in a text can be run.
import { h } from 'vue';

const INLINE = /(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|\[[^\]]+\]\([^)\s]+\))/;
// Only a path of this very gateway is a link.
const isOwn = (to) => /^\/(?![/\\])/.test(to) || to.startsWith('#');

function inline(text) {
  return text.split(INLINE).filter(Boolean).map((part) => {
    if (part.length > 2 && part[0] === '`' && part.endsWith('`')) return h('code', part.slice(1, -1));
    if (part.length > 4 && part.startsWith('**') && part.endsWith('**')) return h('strong', inline(part.slice(2, -2)));
    if (part.length > 2 && part[0] === '*' && part.endsWith('*')) return h('em', inline(part.slice(1, -1)));
    const link = /^\[([^\]]+)\]\(([^)\s]+)\)$/.exec(part);
    if (link) return isOwn(link[2]) ? h('a', { href: link[2] }, link[1]) : link[1];
    return part;
  });
}

export function markdown(text) {
  const made = [];
  let list = null;
  let words = [];
  const end = () => {
    if (words.length) made.push(h('p', inline(words.join(' '))));
    if (list) made.push(h(list.tag, list.items));
    words = []; list = null;
  };
  for (const line of text.split('\n')) {
    const heading = /^(#{1,4})\s+(.*)/.exec(line);
    const item = /^\s*(?:([-*])|\d+[.)])\s+(.*)/.exec(line);
    if (heading) { end(); made.push(h(`h${Math.min(heading[1].length + 2, 6)}`, inline(heading[2]))); } else if (/^\s*(---+|\*\*\*+)\s*$/.test(line)) { end(); made.push(h('hr')); } else if (item) {
      const tag = item[1] ? 'ul' : 'ol';
      if (words.length || (list && list.tag !== tag)) end();
      list ||= { tag, items: [] };
      list.items.push(h('li', inline(item[2])));
    } else if (!line.trim()) end();
    else { if (list) end(); words.push(line.trim()); }
  }
  end();
  return made;
}

export const Markdown = (props) => h('div', { class: 'w-md' }, markdown(props.text || ''));
Markdown.props = ['text'];
