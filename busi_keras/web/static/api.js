// How the page talks to its server: one function, errors as sentences, a full queue as patience.

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Whether the page goes to where one signs in: nothing is left of the session that could be lost. */
export let leaving = false;

const SESSION_ENDED = 410;
const BUSY = 503;

/**
 * Asks the server, and asks again as often as it says that it is busy.
 * @param {string} path
 * @param {RequestInit & {waiting?: (sentence: string) => void}} options `waiting` is told why it takes longer.
 * @returns {Promise<Response>} an answer that is well.
 * @throws {ServerError} a sentence for the reader; `AbortError` where `options.signal` says so.
 */
export async function ask(path, options = {}) {
  for (;;) {
    const answer = await reach(path, options);
    if (answer.ok) return answer;
    if (answer.status === 401) {
      leaving = true;
      location.replace("/login?ended");
      throw new ServerError("sign in again", 401);
    }
    const sentence = await sentenceOf(answer);
    options.signal?.throwIfAborted(); // it may have cut the sentence off
    const seconds = Number(answer.headers.get("Retry-After"));
    if (answer.status !== BUSY || !seconds) throw new ServerError(sentence, answer.status);
    options.waiting?.(sentence);
    await pause(1000 * seconds, options.signal);
  }
}

/** Whether an error means that the session and its images are gone. */
export function sessionEnded(error) {
  return error instanceof ServerError && error.status === SESSION_ENDED;
}

/** Pixels of a PNG from the server: `{width, height, data}` with 4 bytes a pixel, and the bitmap they came from. */
export async function pixels(path, signal) {
  const blob = await (await ask(path, { signal })).blob();
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { bitmap, width: bitmap.width, height: bitmap.height, data: context.getImageData(0, 0, bitmap.width, bitmap.height).data };
}

/** The first of the 4 bytes of each pixel. */
export function firstChannel({ data }) {
  const values = new Uint8Array(data.length / 4);
  for (let index = 0; index < values.length; index++) values[index] = data[4 * index];
  return values;
}

async function reach(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("the connection was lost; check that the server is still running, and try again", 0);
  }
}

async function sentenceOf(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}
