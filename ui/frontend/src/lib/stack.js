// On a phone a row of a table is a card: each value below the other, with the name of its column.
// The names stand in the head of the table; here they are put beside the values, for the style.
const NARROW = '(max-width: 600px)';
const AGAIN_MS = 250;

function label() {
  for (const table of document.querySelectorAll('table.g-table, table.tr-table, table.fl-table')) {
    const names = [...table.querySelectorAll(':scope > thead th')].map((one) => one.innerText.trim());
    if (!names.length) continue;
    for (const row of table.querySelectorAll(':scope > tbody > tr')) {
      if (row.children.length !== names.length) continue;
      names.forEach((name, i) => { if (name && row.children[i].dataset.label !== name) row.children[i].dataset.label = name; });
    }
  }
}

// Label tables for as long as the window is narrow; what comes later is labelled as well.
export function stackTables() {
  const narrow = window.matchMedia(NARROW);
  let timer = 0;
  const soon = () => { if (!timer) timer = setTimeout(() => { timer = 0; label(); }, AGAIN_MS); };
  const eye = new MutationObserver(soon);
  const turn = () => {
    eye.disconnect();
    if (!narrow.matches) return;
    label();
    eye.observe(document.body, { childList: true, subtree: true });
  };
  narrow.addEventListener('change', turn);
  turn();
}
