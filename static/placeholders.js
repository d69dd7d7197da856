// What a list's header lets the texts refer to. The server decides; this only helps to write.

const HEADER_BYTES = 64 * 1024;
const DELIMITERS = [",", ";", "\t", "|"];

/** The headers of a chosen file. */
export async function readHeaders(file) {
  const bytes = await file.slice(0, HEADER_BYTES).arrayBuffer();
  // A character cut off by the slice is not an error while the decoder expects more.
  const start = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
  return splitHeader(start.replace(/^[\r\n]+/, ""));
}

/** How a header is written inside braces: lower case, `_` for everything between words. */
export function fieldName(header) {
  return header
    .toLowerCase()
    .replace(/[^\p{Alphabetic}\p{N}]+/gu, "_")
    .replace(/^_+|_+$/g, "");
}

/** The names that the texts may use for these headers. */
export function fieldNames(headers) {
  return [...new Set(headers.map(fieldName).filter(Boolean))];
}

/** The names a text refers to that none of these headers gives. */
export function unknownPlaceholders(template, headers) {
  const known = new Set([...fieldNames(headers), "name", "phone"]);
  const used = [...template.matchAll(/\{\{(.*?)\}\}/gs)].map((match) => fieldName(match[1]));
  // A second column of the same name is called `city_2`, one without a header `column_3`.
  const isNumbered = (name) => /_\d+$/.test(name);
  return [...new Set(used)].filter((name) => name && !known.has(name) && !isNumbered(name));
}

function splitHeader(start) {
  const cells = { ",": [""], ";": [""], "\t": [""], "|": [""] };
  let quoted = false;
  for (const c of start) {
    if (!quoted && (c === "\n" || c === "\r")) break;
    if (c === '"') quoted = !quoted;
    for (const delimiter of DELIMITERS) {
      const row = cells[delimiter];
      if (c === delimiter && !quoted) row.push("");
      else row[row.length - 1] += c;
    }
  }
  const best = DELIMITERS.reduce((a, b) => (cells[b].length > cells[a].length ? b : a));
  return cells[best].map((cell) => cell.trim().replace(/^"|"$/g, "").replaceAll('""', '"'));
}
