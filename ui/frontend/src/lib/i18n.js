// The page puts the catalogue of its language on window.genba; English is the text itself.
const catalogue = () => (typeof window !== 'undefined' && window.genba?.texts) || {};

// With a text of '{n} changes' and { n: 3 } the names in braces are filled in after the translation.
export function t(text, values = {}) {
  const found = catalogue()[text] || text;
  return found.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

export const language = () => window.genba?.language || 'en';
