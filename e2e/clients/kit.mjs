// What the suites share: where the server is, how a check is counted, and
// what equal means. ../clients_test.go runs each suite once for each of two
// tenants, both at once, and reads the lines that this prints:
//
//	has CLASS.METHOD       the class has it
//	checked CLASS.METHOD   called, and what came of it compared
//	FAILED CLASS.METHOD    with what is wrong below
import assert from "node:assert/strict";

export const url = process.env.QDRANT_URL;
export const apiKey = process.env.QDRANT_API_KEY;

// tenant is 1 or 2. All names and ids are the same for both; all vectors and
// payloads are others, so that an answer from the other's data is a wrong one.
export const tenant = Number(process.env.TENANT);

console.warn = () => {}; // "Api key is used with unsecure connection."

// watched is an object or a class that remembers which methods were called.
const called = new Set();

export function watched(object) {
  return new Proxy(object, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") return value;
      return function (...args) {
        called.add(name);
        return value.apply(target, args);
      };
    },
    construct: (target, args) => watched(new target(...args)),
  });
}

// describes prints the methods that a class has and its objects.
export function describes(name, ...prototypes) {
  const methods = prototypes.flatMap((p) =>
    Object.entries(Object.getOwnPropertyDescriptors(p))
      .filter(([method, d]) => typeof d.value === "function" && method !== "constructor")
      .map(([method]) => method),
  );
  for (const method of new Set(methods)) console.log(`has ${name}.${method}`);
}

// suite returns a function that runs one check of the methods named, which it
// has to call. A check that fails does not end the suite.
export function suite(name) {
  return async function check(methods, run) {
    called.clear();
    try {
      await run();
      for (const m of methods.split(" ")) assert(called.has(m), `${m} was not called`);
      for (const m of methods.split(" ")) console.log(`checked ${name}.${m}`);
    } catch (e) {
      process.exitCode = 1;
      const said = e.data ? ` ${JSON.stringify(e.data)}` : e.cause ? ` ${e.cause}` : "";
      console.log(`FAILED ${name}.${methods}: ${e.stack}${said}`);
    }
  };
}

// random returns numbers in [0, 1), the same ones for the same seed (mulberry32).
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// near compares numbers as sums of float32 are compared.
export function near(got, want, what) {
  const allowed = 1e-4 * Math.max(1, Math.abs(want));
  assert(typeof got === "number" && Math.abs(got - want) <= allowed, `${what ?? "number"}: got ${got}, want ${want}`);
}

export function nearVector(got, want) {
  assert(Array.isArray(got) && got.length === want.length, `got ${JSON.stringify(got)}, want ${want.length} components`);
  got.forEach((x, i) => near(x, want[i], `component ${i}`));
}

// ranked compares hits {id, score} with the model's: its best scores in its
// order, and each id with its own score. Which of equals comes first is free.
// all are the scores of all that could be found, by id.
export function ranked(got, all, { limit = 10, offset = 0, ascending = false } = {}) {
  const want = [...all.entries()].sort((a, b) => (ascending ? a[1] - b[1] : b[1] - a[1])).slice(offset, offset + limit);
  assert.deepEqual(got.length, want.length, `got ${got.length} hits, want ${want.length}: ${got.map((h) => h.id)}; want ${want.map((w) => w[0])}`);
  assert.equal(new Set(got.map((h) => h.id)).size, got.length, "an id twice");
  got.forEach((hit, i) => {
    assert(all.has(hit.id), `${hit.id} must not be found`);
    near(hit.score, all.get(hit.id), `score of ${hit.id} at place ${i}`);
    near(hit.score, want[i][1], `score at place ${i}, where ${want[i][0]} belongs`);
  });
}

// eventually repeats what fails: a write that is not waited for is acknowledged
// before it is done.
export async function eventually(run) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await run();
    } catch (e) {
      if (Date.now() > deadline) throw e;
    }
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

// refused awaits an error of an HTTP status, and the text of its body.
export async function refused(promise, status, text) {
  let answer;
  try {
    answer = await promise;
  } catch (e) {
    assert.equal(e.status, status, `${e.stack} ${JSON.stringify(e.data)}`);
    const said = typeof e.data === "string" ? e.data : e.data.status.error;
    if (text instanceof RegExp) assert.match(said, text);
    else assert.equal(said, text);
    return;
  }
  assert.fail(`answered ${JSON.stringify(answer)}, want ${status} ${text}`);
}
