// Collections of several vectors, dense and sparse; prefetch and fusion.
import assert from "node:assert/strict";
import { nearVector, random, ranked, refused, tenant } from "./kit.mjs";
import { best, dbsf, makePoints, makeSparse, makeVector, normalised, rrf, scores, sparseScores } from "./model.mjs";

const text = (p) => p.vector.text;
const image = (p) => p.vector.image;
const words = (p) => p.vector.words;
const rare = (p) => p.vector.rare;

// Some points lack some vectors, and some have sparse ones out of order.
function makeNamed(n) {
  const rnd = random(tenant * 104729);
  return makePoints(n).map((p, i) => {
    const vector = { text: p.vector, image: makeVector(rnd, 3), words: makeSparse(rnd, 20, 0.3), rare: makeSparse(rnd, 20, 0.2) };
    if (i % 5 === 0) delete vector.image;
    if (i % 7 === 0) delete vector.words;
    if (i % 11 === 0) delete vector.text;
    return { ...p, vector };
  });
}

const reversed = (s) => s && { indices: [...s.indices].reverse(), values: [...s.values].reverse() };

export async function named(check, client) {
  const points = makeNamed(100);
  const rnd = random(tenant);
  const [toText, toImage, toWords] = [makeVector(rnd, 8), makeVector(rnd, 3), makeSparse(rnd, 20, 0.4)];
  const ask = async (args) => (await client.query("named", args)).points;

  await check("createCollection upsert retrieve getCollection", async () => {
    const vectors = { text: { size: 8, distance: "Cosine" }, image: { size: 3, distance: "Euclid", on_disk: false } };
    const sparse_vectors = { words: {}, rare: { modifier: "idf" } };
    assert.equal(await client.createCollection("named", { vectors, sparse_vectors }), true);
    const { params } = (await client.getCollection("named")).config;
    assert.deepEqual(params.vectors, vectors);
    assert.deepEqual(params.sparse_vectors, sparse_vectors);

    const sent = points.map((p) => ({ ...p, vector: { ...p.vector, words: reversed(words(p)) } }));
    await client.upsert("named", { points: sent.slice(0, 60) });
    const rest = sent.slice(60);
    const names = ["text", "image", "words", "rare"];
    // As columns, each point of a batch has to have the same vectors.
    const whole = rest.filter((p) => names.every((name) => p.vector[name]));
    const columns = Object.fromEntries(names.map((name) => [name, whole.map((p) => p.vector[name])]));
    await client.upsert("named", { batch: { ids: whole.map((p) => p.id), vectors: columns, payloads: whole.map((p) => p.payload) } });
    await client.upsert("named", { points: rest.filter((p) => !whole.includes(p)) });

    const got = await client.retrieve("named", { ids: points.map((p) => p.id), with_vector: true });
    assert.equal(got.length, points.length);
    for (const p of points) {
      const have = got.find((g) => g.id === p.id);
      assert.deepEqual(Object.keys(have.vector).sort(), Object.keys(p.vector).sort(), `vectors of ${p.id}`);
      if (text(p)) nearVector(have.vector.text, normalised(text(p)));
      if (image(p)) nearVector(have.vector.image, image(p));
      for (const name of ["words", "rare"]) {
        if (!p.vector[name]) continue;
        assert.deepEqual(have.vector[name].indices, p.vector[name].indices); // in order
        nearVector(have.vector[name].values, p.vector[name].values);
      }
    }
    const [one] = await client.retrieve("named", { ids: [points[1].id], with_vector: ["image", "rare"] });
    assert.deepEqual(Object.keys(one.vector).sort(), ["image", "rare"]);
    await refused(client.upsert("named", { points: [{ id: 1, vector: { nobody: [1] } }] }), 400, "Wrong input: Not existing vector name error: nobody");
    await refused(client.createCollection("bad", { vectors: { a: { size: 2, distance: "Dot" } }, sparse_vectors: { a: {} } }), 422, /"a" is there twice/);
  });

  await check("query scroll", async () => {
    ranked(await ask({ query: toText, using: "text" }), scores(points, "Cosine", toText, undefined, text));
    ranked(await ask({ query: toImage, using: "image" }), scores(points, "Euclid", toImage, undefined, image), { ascending: true });
    const filter = { must: [{ has_vector: "image" }, { key: "flag", match: { value: true } }] };
    ranked(await ask({ query: toText, using: "text", filter }), scores(points, "Cosine", toText, (p, x) => p.flag && image(x), text));
    const { points: found } = await client.scroll("named", { filter: { must_not: [{ has_vector: "words" }] }, limit: 200 });
    assert.deepEqual(found.map((p) => p.id), points.filter((p) => !words(p)).map((p) => p.id));

    ranked(await ask({ query: toWords, using: "words", limit: 15 }), sparseScores(points, toWords, words), { limit: 15 });
    ranked(await ask({ query: toWords, using: "rare", limit: 15 }), sparseScores(points, toWords, rare, true), { limit: 15 });
    const kept = points.filter((p) => p.payload.flag);
    ranked(await ask({ query: toWords, using: "words", filter: { must: [filter.must[1]] }, limit: 50 }), sparseScores(kept, toWords, words), { limit: 50 });
    const from = points[8];
    ranked(await ask({ query: from.id, using: "words" }), new Map([...sparseScores(points, words(from), words)].filter(([id]) => id !== from.id)));
    const names = "available names: image, text, rare, words";
    await refused(client.query("named", { query: toText, using: "nobody" }), 400, `Wrong input: Vector with name \`nobody\` is not configured in this collection, ${names}`);
    await refused(client.query("named", { query: toText }), 400, `Wrong input: Collection requires specified vector name in the request, ${names}`);
  });

  await check("query queryBatch", async () => {
    const dense = { query: toText, using: "text", limit: 20 };
    const sparse = { query: toWords, using: "words", limit: 25 };
    const lists = [best(scores(points, "Cosine", toText, undefined, text), 20), best(sparseScores(points, toWords, words), 25)];
    const prefetch = [dense, sparse];
    ranked(await ask({ prefetch, query: { fusion: "rrf" } }), rrf(lists));
    ranked(await ask({ prefetch, query: { fusion: "rrf" }, limit: 12, offset: 6 }), rrf(lists), { limit: 12, offset: 6 });
    ranked(await ask({ prefetch, query: { rrf: {} }, limit: 100 }), rrf(lists), { limit: 100 });
    ranked(await ask({ prefetch, query: { rrf: { k: 60 } } }), rrf(lists, 60));
    ranked(await ask({ prefetch, query: { rrf: { k: 5, weights: [3, 0.5] } }, limit: 30 }), rrf(lists, 5, [3, 0.5]), { limit: 30 });
    ranked(await ask({ prefetch, query: { fusion: "dbsf" }, limit: 30 }), dbsf(lists), { limit: 30 });
    ranked(await ask({ prefetch: dense, query: { fusion: "rrf" } }), rrf(lists.slice(0, 1)));

    // The filter of the whole counts in each prefetch as well.
    const filter = { must: [{ key: "flag", match: { value: true } }] };
    const flagged = points.filter((p) => p.payload.flag);
    const kept = [best(scores(flagged, "Cosine", toText, undefined, text), 20), best(sparseScores(flagged, toWords, words), 25)];
    ranked(await ask({ prefetch, query: { fusion: "rrf" }, filter, limit: 40 }), rrf(kept), { limit: 40 });
    ranked(await ask({ prefetch: [{ ...dense, filter }, sparse], query: { fusion: "rrf" }, limit: 40 }), rrf([kept[0], lists[1]]), { limit: 40 });
    const threshold = (lists[0][9][1] + lists[0][10][1]) / 2;
    ranked(await ask({ prefetch: [{ ...dense, score_threshold: threshold }, sparse], query: { fusion: "rrf" }, limit: 40 }), rrf([lists[0].slice(0, 10), lists[1]]), { limit: 40 });

    // What a prefetch found, scored by another vector; and that in a fusion.
    const some = new Set(lists[0].map(([id]) => id));
    const again = scores(points, "Euclid", toImage, (_, p) => some.has(p.id), image);
    ranked(await ask({ prefetch: [dense], query: toImage, using: "image" }), again, { ascending: true });
    const deep = { prefetch: [dense], query: toImage, using: "image", limit: 8 };
    ranked(await ask({ prefetch: [deep, sparse], query: { fusion: "rrf" }, limit: 40 }), rrf([best(again, 8, true), lists[1]]), { limit: 40 });

    // A point that a prefetch looks from is in no answer.
    const from = points[8];
    const others = points.filter((p) => p !== from);
    const byId = best(scores(others, "Cosine", text(from), undefined, text), 20);
    const without = best(sparseScores(others, toWords, words), 25);
    ranked(await ask({ prefetch: [{ ...dense, query: from.id }, sparse], query: { fusion: "rrf" }, limit: 50 }), rrf([byId, without]), { limit: 50 });

    const answers = await client.queryBatch("named", { searches: [{ prefetch, query: { fusion: "rrf" }, limit: 3 }, { query: toImage, using: "image", limit: 2 }] });
    ranked(answers[0].points, rrf(lists), { limit: 3 });
    ranked(answers[1].points, scores(points, "Euclid", toImage, undefined, image), { limit: 2, ascending: true });
    await refused(client.query("named", { query: { fusion: "rrf" } }), 400, /./);
    await refused(client.query("named", { prefetch }), 400, "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.");
    await refused(client.query("named", { prefetch, query: { fusion: "rrf" }, using: "text" }), 400, "Bad request: Fusion queries cannot be combined with the 'using' field.");
  });

  await check("createCollection upsert query", async () => {
    // One vector by the name "", as langchain for Python has it; from another
    // collection; and no dense vector at all.
    assert.equal(await client.createCollection("empty name", { vectors: { "": { size: 8, distance: "Dot" } } }), true);
    const whole = points.filter(text);
    await client.upsert("empty name", { points: whole.map((p) => ({ id: p.id, vector: { "": text(p) } })) });
    ranked((await client.query("empty name", { query: toText, using: "" })).points, scores(whole, "Dot", toText, undefined, text));
    const from = points[8];
    const looked = await client.query("empty name", { query: from.id, lookup_from: { collection: "named", vector: "text" } });
    ranked(looked.points, scores(whole, "Dot", normalised(text(from)), undefined, text)); // the id is another collection's
    await refused(client.query("empty name", { query: 1, lookup_from: { collection: `of tenant ${3 - tenant}` } }), 404, `Not found: Collection \`of tenant ${3 - tenant}\` doesn't exist!`);

    assert.equal(await client.createCollection("sparse alone", { sparse_vectors: { words: {} } }), true);
    await client.upsert("sparse alone", { points: points.filter(words).map((p) => ({ id: p.id, vector: { words: words(p) } })) });
    ranked((await client.query("sparse alone", { query: toWords, using: "words" })).points, sparseScores(points, toWords, words));
    assert.equal(await client.createCollection("payloads alone", {}), true);
    await client.upsert("payloads alone", { points: [{ id: 1, vector: {}, payload: { a: 1 } }] });
    const { points: bare } = await client.scroll("payloads alone", { with_vector: true });
    assert.deepEqual(bare[0].payload, { a: 1 });
  });

  await check("updateVectors deleteVectors", async () => {
    const model = new Map(points.map((p) => [p.id, { ...p, vector: { ...p.vector } }]));
    const same = async (what) => {
      const got = await client.scroll("named", { limit: 200, with_vector: true });
      assert.equal(got.points.length, model.size);
      for (const { id, vector, payload } of got.points) {
        const want = model.get(id);
        assert.deepEqual(Object.keys(vector).sort(), Object.keys(want.vector).sort(), `${what}: vectors of ${id}`);
        if (want.vector.image) nearVector(vector.image, want.vector.image);
        if (want.vector.text) nearVector(vector.text, normalised(want.vector.text));
        if (want.vector.rare) nearVector(vector.rare.values, want.vector.rare.values);
        assert.deepEqual(payload, want.payload, `${what}: payload of ${id}`);
      }
      const left = [...model.values()];
      ranked(await ask({ query: toImage, using: "image" }), scores(left, "Euclid", toImage, undefined, image), { ascending: true });
      ranked(await ask({ query: toWords, using: "words" }), sparseScores(left, toWords, words));
      ranked(await ask({ query: toWords, using: "rare" }), sparseScores(left, toWords, rare, true));
    };
    const changes = points.slice(0, 12).map((p) => ({ id: p.id, vector: { image: makeVector(rnd, 3), rare: makeSparse(rnd, 20, 0.4) } }));
    assert.equal((await client.updateVectors("named", { points: changes })).status, "completed");
    for (const { id, vector } of changes) Object.assign(model.get(id).vector, vector);
    await same("updateVectors");

    const gone = points.slice(3, 9).map((p) => p.id);
    assert.equal((await client.deleteVectors("named", { points: gone, vector: ["image", "words"] })).status, "completed");
    for (const id of gone) ["image", "words"].forEach((name) => delete model.get(id).vector[name]);
    await same("deleteVectors by ids");
    await client.deleteVectors("named", { filter: { must: [{ key: "flag", match: { value: true } }] }, vector: ["text"] });
    for (const p of model.values()) if (p.payload.flag) delete p.vector.text;
    await same("deleteVectors by filter");
    await refused(client.updateVectors("named", { points: [{ id: 777777, vector: { image: [1, 2, 3] } }] }), 404, "Not found: No point with id 777777 found");
    await refused(client.deleteVectors("named", { points: gone, vector: ["nobody"] }), 400, "Wrong input: Not existing vector name error: nobody");
    await same("what is refused");
  });
}
