// Icons as paths on a 16 by 16 grid, drawn with the colour of the text.
const PATHS = {
  source: 'M2 8h8M7 4.5 10.5 8 7 11.5M13.5 2.5v11',
  sink: 'M2.5 2.5v11M5.5 8h8M10 4.5 13.5 8 10 11.5',
  worker: 'M8 2v3M8 11v3M2 8h3M11 8h3M3.8 3.8l2 2M10.2 10.2l2 2M12.2 3.8l-2 2M5.8 10.2l-2 2',
  connection: 'M6 10 10 6M7 4.5l1.5-1.5a3 3 0 0 1 4.3 4.3L11.3 8.8M9 11.5l-1.5 1.5a3 3 0 0 1-4.3-4.3L4.7 7.2',
  opcua: 'M2.5 3.5h11v5h-11zM8 8.5v4M5 12.5h6M5 6h.01M8 6h.01M11 6h.01',
  mqtt: 'M3 13a10 10 0 0 0-0-.01M3 9a4 4 0 0 1 4 4M3 5.5A7.5 7.5 0 0 1 10.5 13M3 2a11 11 0 0 1 11 11',
  modbus: 'M2 5h12M2 11h12M4.5 5v6M8 5v6M11.5 5v6',
  serial: 'M2.5 5.5h11l-1.6 5.5H4.1zM5.5 8h.01M8 8h.01M10.5 8h.01',
  simulate: 'M1.5 8c1.6-6 3.4-6 5 0s3.4 6 5 0 2-3 3-3',
  file: 'M4 1.8h5.5L12.5 5v9.2H4zM9.3 2v3.2h3',
  log: 'M3 4h10M3 8h10M3 12h6',
  sqlite: 'M3 4c0-2.4 10-2.4 10 0v8c0 2.4-10 2.4-10 0zM3 4c0 2.4 10 2.4 10 0M3 8c0 2.4 10 2.4 10 0',
  filter: 'M2 3h12L9.5 8.5V13l-3 1V8.5z',
  compute: 'M10.5 2.5c-2 0-2.3 1-2.6 3L7 11c-.3 2-.8 2.6-2.5 2.6M5 7h6',
  window: 'M2.5 3.5h11v9h-11zM6.2 3.5v9M9.8 3.5v9',
  feature: 'M3 13V9M6.3 13V5M9.7 13V7.5M13 13V3',
  detect: 'M1.5 9h3l1.5-5 2.5 9 2-6 1 2h3',
  alarm: 'M8 2c-3 0-4 2.2-4 5 0 2.5-1.5 3-1.5 4.5h11C13.500 10 12 9.500 12 7c0-2.800-1-5-4-5zM6.500 13.500c.3 1 2.700 1 3 0',
  link: 'M2 8h4l2.500-3.500M8.500 11.500 6 8M10 8h4M12 5.500 14.500 8 12 10.500',
  flow: 'M2 4.500h5a3 3 0 0 1 3 3v1a3 3 0 0 0 3 3h1.500M12 9.500l2.500 2-2.500 2',
  subflow: 'M2.500 2.500h11v11h-11zM5 6h2.500v4H5zM10 6h1.500v4H10zM7.500 8H10',
  test: 'M6 2h4M7 2v4.500L3.200 13c-.4.800 0 1.200.800 1.200h8c.800 0 1.200-.400.800-1.200L9 6.500V2M5 10h6',
};
export const iconPath = (card) => {
  if (!card) return PATHS.compute;
  const isEdge = ['source', 'sink', 'worker', 'connection'].includes(card.kind);
  return PATHS[card.family] || PATHS[isEdge ? card.kind : card.category] || PATHS.compute;
};

// Signs of the editor itself; a panel PC need not have a font with them.
export const SIGNS = {
  undo: 'M6 3 2.5 6.5 6 10M2.5 6.500h7a4 4 0 0 1 0 8H7', redo: 'M10 3l3.500 3.500L10 10M13.500 6.500h-7a4 4 0 0 0 0 8H9',
  out: 'M3 8h10', in: 'M3 8h10M8 3v10', fit: 'M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10',
  search: 'M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300 14 14', help: 'M5.500 6a2.500 2.500 0 1 1 3.600 2.200C8.200 8.700 8 9.200 8 10M8 12.800v.1',
  left: 'M2 3h12v10H2zM6 3v10', right: 'M2 3h12v10H2zM10 3v10', copy: 'M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3', value: 'M3 5h10M3 8h10M3 11h6', trace: 'M2 12.500h3l3-9 2.500 6H14M12 7.500l2 2-2 2', close: 'M4 4l8 8M12 4l-8 8',
};
