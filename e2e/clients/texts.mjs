// An embedding that needs no model: numbers that depend on the text alone.
import { random } from "./kit.mjs";
import { makeVector } from "./model.mjs";

export function embed(text) {
  const seed = [...text].reduce((hash, c) => (Math.imul(hash, 31) + c.codePointAt(0)) | 0, 7);
  return makeVector(random(seed), 16);
}
