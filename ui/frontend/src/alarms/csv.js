// Tables to take away (RFC 4180), with a mark by which spreadsheets know UTF-8.
// A text that a spreadsheet would run as a formula gets a quote before it.
function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (head, rows) => '\ufeff' + [head, ...rows].map((row) => row.map(cell).join(',') + '\r\n').join('');

export function save(name, text, type = 'text/csv;charset=utf-8') {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement('a'), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
