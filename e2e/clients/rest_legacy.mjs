// The methods that @qdrant/js-client-rest had up to 1.18, over the older
// routes points/search and points/recommend.
import assert from "node:assert/strict";
import { ranked, refused } from "./kit.mjs";
import { averaged, normalised, scores } from "./model.mjs";

// legacy expects the points in the collections Cosine and Dot.
export async function legacy(check, client, points) {
  const [first, second, third] = [points[10], points[70], points[20]];
  const query = first.vector.map((x) => Math.fround(x - 0.2));
  const filter = { must: [{ key: "flag", match: { value: true } }] };
  const others = (_, p) => ![first, second, third].includes(p);

  await check("search searchBatch", async () => {
    const hits = await client.search("Cosine", { vector: query, limit: 9, offset: 2 });
    ranked(hits, scores(points, "Cosine", query), { limit: 9, offset: 2 });
    hits.forEach((h) => assert.deepEqual(h.payload, points.find((p) => p.id === h.id).payload));
    ranked(await client.search("Dot", { vector: query, filter, with_payload: false, params: { exact: true } }), scores(points, "Dot", query, (p) => p.flag));
    const good = await client.search("Cosine", { vector: query, limit: 200, score_threshold: 0.3 });
    const all = scores(points, "Cosine", query);
    assert.equal(good.length, [...all.values()].filter((s) => s >= 0.3).length);

    const answers = await client.searchBatch("Dot", { searches: [{ vector: query, limit: 3 }, { vector: second.vector, limit: 4, filter, with_payload: true }] });
    assert.equal(answers.length, 2);
    ranked(answers[0], scores(points, "Dot", query), { limit: 3 });
    ranked(answers[1], scores(points, "Dot", second.vector, (p) => p.flag), { limit: 4 });
    assert.equal(answers[0][0].payload ?? null, null);
    assert.equal(answers[1][0].payload.flag, true);
    ranked(await client.search("Dot", { vector: { name: "", vector: query } }), scores(points, "Dot", query));
    await refused(client.search("nobody", { vector: query }), 404, "Not found: Collection `nobody` doesn't exist!");
  });

  await check("search recommend", async () => {
    const vectors = { text: { size: 8, distance: "Dot" }, other: { size: 2, distance: "Dot" } };
    await client.createCollection("legacy", { vectors, sparse_vectors: { words: {} } });
    const vector = (p, i) => ({ text: p.vector, words: { indices: [i % 5], values: [i + 1] } });
    await client.upsert("legacy", { points: points.map((p, i) => ({ ...p, vector: vector(p, i) })) });
    ranked(await client.search("legacy", { vector: { name: "text", vector: query } }), scores(points, "Dot", query));
    const words = new Map(points.map((p, i) => [p.id, i]).filter(([, i]) => i % 5 === 3).map(([id, i]) => [id, 2 * (i + 1)]));
    ranked(await client.search("legacy", { vector: { name: "words", vector: { indices: [3], values: [2] } } }), words);
    ranked(await client.recommend("legacy", { positive: [first.id], using: "text" }), scores(points, "Dot", first.vector, (_, p) => p !== first));
    ranked(await client.recommend("Dot", { positive: [first.id], lookup_from: { collection: "legacy", vector: "text" } }), scores(points, "Dot", first.vector));
  });

  await check("recommend recommendBatch recommend_batch", async () => {
    const vector = averaged([first, second].map((p) => normalised(p.vector)), [normalised(third.vector)]);
    const ask = { positive: [first.id, second.id], negative: [third.id] };
    ranked(await client.recommend("Cosine", ask), scores(points, "Cosine", vector, others));
    ranked(await client.recommend("Cosine", { ...ask, strategy: "average_vector", filter, limit: 5, offset: 1 }), scores(points, "Cosine", vector, (p, x) => p.flag && others(p, x)), { limit: 5, offset: 1 });

    // A vector is an example too.
    const raw = averaged([first.vector, query], []);
    ranked(await client.recommend("Dot", { positive: [first.id, query] }), scores(points, "Dot", raw, (_, p) => p !== first));
    for (const method of ["recommendBatch", "recommend_batch"]) {
      const answers = await client[method]("Dot", { searches: [{ positive: [first.id], limit: 3 }, { positive: [second.id], negative: [query], filter, limit: 4 }] });
      assert.equal(answers.length, 2);
      ranked(answers[0], scores(points, "Dot", first.vector, (_, p) => p !== first), { limit: 3 });
      ranked(answers[1], scores(points, "Dot", averaged([second.vector], [query]), (p, x) => p.flag && x !== second), { limit: 4 });
    }
    await refused(client.recommend("Dot", { positive: [777777] }), 404, "Not found: No point with id 777777 found");
  });
}
