/**
 * The page that reads a panic's QR code in a browser, from a picture, a text, or the page's own address (`#?a=...&z=...`, as
 * a code has it whose URL leads here). `npm run build` makes one file of it, dist/page/panic.html, that loads nothing.
 */
import decodeQR from 'qr/decode.js';
import { parsePanicCode } from '../panic-code.js';
import { renderText } from '../../report/render-text.js';
import { makeReport } from '../../report/report.js';

/** No log is packed to a hundredth of its size. */
const largestLog = 1 << 20;
/** Pixels on the longer side: enough for the largest code, and quick to search. */
const largestSides = [3000, 2000, 1200];
/** Milliseconds that the reader may take for one of them. */
const patience = 5000;

function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new TypeError(`no ${id}`);
}

const said = element('said', HTMLElement);
const reportText = element('report', HTMLElement);
const logText = element('log', HTMLElement);
const whole = element('whole', HTMLElement);

function say(text: string): void {
  said.textContent = text;
  reportText.textContent = logText.textContent = '';
  whole.hidden = true;
}

async function inflate(zlib: Uint8Array<ArrayBuffer>): Promise<string> {
  const reader = new Blob([zlib]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > largestLog) throw new RangeError('more than a log');
  }
}

async function showText(text: string): Promise<void> {
  const code = parsePanicCode(text.trim());
  if (code === undefined) {
    say('This does not tell of a panic: a code of one has z= and digits.');
    return;
  }
  let log: string;
  try {
    log = await inflate(Uint8Array.from(code.zlib));
  } catch {
    say('The digits are damaged, or not all there: the log does not unpack.');
    return;
  }
  say('');
  const { report } = makeReport({
    where: 'PHOTO',
    log,
    cut: true,
    release: code.release,
    capture: undefined,
  });
  reportText.textContent = renderText(report);
  logText.textContent = log;
  whole.hidden = false;
}

async function showPicture(picture: Blob): Promise<void> {
  say('Reading ...');
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(picture);
  } catch {
    say('This browser cannot open the picture.');
    return;
  }
  const text = codeIn(bitmap);
  if (text === undefined) say('No QR code found: it must be whole, sharp and taken straight on.');
  else await showText(text);
}

function codeIn(bitmap: ImageBitmap): string | undefined {
  for (const side of largestSides) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    if (context === null) return undefined;
    context.drawImage(bitmap, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    try {
      return decodeQR({ width, height, data }, { timeLimit: patience });
    } catch {
      // None that it can read at this size.
    }
  }
  return undefined;
}

const file = element('file', HTMLInputElement);
file.addEventListener('change', () => {
  const picture = file.files?.[0];
  if (picture !== undefined) void showPicture(picture);
});
const text = element('text', HTMLTextAreaElement);
text.addEventListener('input', () => void showText(text.value));
document.addEventListener('dragover', (event) => {
  event.preventDefault();
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  const picture = event.dataTransfer?.files[0];
  if (picture !== undefined) void showPicture(picture);
});
document.addEventListener('paste', (event) => {
  const picture = event.clipboardData?.files[0];
  if (picture !== undefined) void showPicture(picture);
});
const address = location.hash.length > 1 ? location.hash.slice(1) : location.search;
if (address !== '') void showText(address);
