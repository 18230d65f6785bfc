// @qdrant/js-client-rest: collections, points, filters and nearest queries.
// $CLIENT is the package; rest_named.mjs and rest_legacy.mjs have the rest.
import assert from "node:assert/strict";
import { apiKey, describes, eventually, near, nearVector, ranked, refused, suite, tenant, url, watched } from "./kit.mjs";
import { ascending, averaged, best, filters, makePoints, mmr, normalised, score, scores } from "./model.mjs";
import { legacy } from "./rest_legacy.mjs";
import { named } from "./rest_named.mjs";
import { writes } from "./rest_writes.mjs";

const { QdrantClient } = await import(process.env.CLIENT);
const client = watched(new QdrantClient({ url, apiKey }));
const check = suite("QdrantClient");
describes("QdrantClient", QdrantClient.prototype);

const points = makePoints(120);
const distances = ["Cosine", "Dot", "Euclid", "Manhattan"];
const query = points[5].vector.map((x) => Math.fround(x + 0.1));
const dated = ({ id, vector, payload }) => ({ id, vector, payload });

await check("versionInfo api", async () => {
  const info = await client.versionInfo();
  assert.match(info.version, /^1\.18\.\d+$/);
  assert.deepEqual(Object.keys(info).sort(), ["commit", "title", "version"]);
  for (const probe of ["healthz", "livez", "readyz"]) assert.equal((await client.api()[probe]({})).status, 200, probe);
});

await check("createCollection getCollection getCollections collectionExists", async () => {
  assert.deepEqual((await client.getCollections()).collections, []);
  assert.deepEqual(await client.collectionExists("Dot"), { exists: false });
  for (const distance of distances) assert.equal(await client.createCollection(distance, { vectors: { size: 8, distance } }), true);
  assert.equal(await client.createCollection(`of tenant ${tenant}`, { vectors: { size: 2, distance: "Dot", on_disk: true }, hnsw_config: { m: 32 } }), true);
  const names = (await client.getCollections()).collections.map((c) => c.name);
  assert.deepEqual(names.sort(), [...distances, `of tenant ${tenant}`].sort());
  assert.deepEqual(await client.collectionExists("Dot"), { exists: true });
  assert.deepEqual(await client.collectionExists(`of tenant ${3 - tenant}`), { exists: false });

  const plain = await client.getCollection("Dot");
  assert.deepEqual(plain.config.params.vectors, { size: 8, distance: "Dot" });
  assert.deepEqual([plain.status, plain.optimizer_status, plain.points_count, plain.payload_schema], ["green", "ok", 0, {}]);
  const { m, ef_construct, full_scan_threshold } = plain.config.hnsw_config;
  assert.deepEqual([m, ef_construct, full_scan_threshold], [16, 100, 10000]);
  assert.equal(plain.config.quantization_config, null);
  const set = await client.getCollection(`of tenant ${tenant}`);
  assert.deepEqual(set.config.params.vectors, { size: 2, distance: "Dot", on_disk: true });
  assert.equal(set.config.hnsw_config.m, 32);
  await refused(client.getCollection("nobody"), 404, "Not found: Collection `nobody` doesn't exist!");
  await refused(client.createCollection("Dot", { vectors: { size: 8, distance: "Dot" } }), 409, "Wrong input: Collection `Dot` already exists!");
  await refused(new QdrantClient({ url, apiKey: "hh_live_nobody" }).getCollections(), 401, /./);
});

await check("upsert count", async () => {
  const half = points.length / 2;
  for (const distance of distances) {
    const first = await client.upsert(distance, { points: points.slice(0, half).map(dated) });
    assert.equal(first.status, "completed");
    const rest = points.slice(half);
    const batch = { ids: rest.map((p) => p.id), vectors: rest.map((p) => p.vector), payloads: rest.map((p) => p.payload) };
    const second = await client.upsert(distance, { batch, wait: false });
    assert.equal(second.status, "acknowledged");
    await eventually(async () => assert.deepEqual(await client.count(distance), { count: points.length }));
  }
  await refused(client.upsert("Dot", { points: [{ id: 1, vector: [1, 2, 3] }] }), 400, "Wrong input: Vector dimension error: expected dim: 8, got 3");
  await refused(client.upsert("nobody", { points: [] }), 404, "Not found: Collection `nobody` doesn't exist!");
  assert.equal((await client.getCollection("Dot")).points_count, points.length);
});

await check("retrieve api", async () => {
  const asked = [points[3], points[100], points[0]];
  for (const distance of distances) {
    const got = await client.retrieve(distance, { ids: [...asked.map((p) => p.id), 777777], with_vector: true });
    assert.equal(got.length, 3);
    for (const p of asked) {
      const have = got.find((g) => g.id === p.id);
      assert.deepEqual(have.payload, p.payload);
      nearVector(have.vector, distance === "Cosine" ? normalised(p.vector) : p.vector);
    }
  }
  const one = async (selector) => (await client.retrieve("Dot", { ids: [points[3].id], with_payload: selector }))[0];
  const { owner, shop } = points[3].payload;
  assert.deepEqual((await one(["owner"])).payload, { owner });
  assert.deepEqual((await one({ include: ["owner", "shop.owner.name"] })).payload, { owner, shop: { owner: shop.owner } });
  const { note, shop: _, ...rest } = points[3].payload;
  assert.deepEqual((await one({ exclude: ["note", "shop"] })).payload, rest);
  const bare = await one(false);
  assert.equal(bare.payload ?? null, null);
  assert.equal(bare.vector ?? null, null);

  const { data } = await client.api().getPoint({ collection_name: "Dot", id: points[100].id });
  assert.deepEqual(data.result.payload, points[100].payload);
  await refused(client.api().getPoint({ collection_name: "Dot", id: 777777 }), 404, "Not found: Point with id 777777 does not exists!");
});

// scrollAll reads a collection page by page.
async function scrollAll(collection, args) {
  const all = [];
  let offset;
  do {
    const page = await client.scroll(collection, { ...args, offset });
    assert(page.points.length <= args.limit);
    all.push(...page.points);
    offset = page.next_page_offset;
  } while (offset !== null && offset !== undefined);
  return all;
}

await check("scroll", async () => {
  for (const limit of [7, 60, 1000]) {
    const all = await scrollAll("Cosine", { limit, with_vector: true });
    assert.deepEqual(all.map((p) => p.id), points.map((p) => p.id));
    all.forEach((p, i) => {
      assert.deepEqual(p.payload, points[i].payload);
      nearVector(p.vector, normalised(points[i].vector));
    });
  }
  const from = await client.scroll("Cosine", { offset: points[50].id, limit: 3, with_payload: false });
  assert.deepEqual(from.points.map((p) => p.id), points.slice(50, 53).map((p) => p.id));
  assert.equal(from.next_page_offset, points[53].id);
  assert.equal((await client.scroll("Dot")).points.length, 10);
});

// filtered runs every condition through scroll, count and query.
async function filtered() {
  for (const [title, filter, keep] of filters(points)) {
    const want = points.filter((p) => keep(p.payload, p)).map((p) => p.id);
    try {
      assert.deepEqual((await scrollAll("Cosine", { filter, limit: 50, with_payload: false })).map((p) => p.id), want, "scroll");
      assert.deepEqual(await client.count("Cosine", { filter, exact: true }), { count: want.length }, "count");
      const { points: hits } = await client.query("Cosine", { query, filter, limit: 20 });
      ranked(hits, scores(points, "Cosine", query, keep), { limit: 20 });
    } catch (e) {
      e.message = `filter "${title}" ${JSON.stringify(filter)}: ${e.message}`;
      e.stack = e.stack.replace(/^.*\n/, `${e.message}\n`);
      throw e;
    }
  }
}

await check("scroll count query", filtered);

await check("query", async () => {
  for (const distance of distances) {
    const all = scores(points, distance, query);
    const order = { ascending: ascending(distance) };
    const ask = async (args) => (await client.query(distance, args)).points;
    ranked(await ask({ query }), all, order);
    ranked(await ask({ query, limit: 200 }), all, { ...order, limit: 200 });
    ranked(await ask({ query, consistency: "majority", timeout: 30, shard_key: null }), all, order);
    ranked(await ask({ query, limit: 7, offset: 5, params: { exact: true } }), all, { ...order, limit: 7, offset: 5 });
    ranked(await ask({ query, params: { hnsw_ef: 256, indexed_only: false, quantization: { ignore: false, rescore: true, oversampling: 2 } } }), all, order);

    const sorted = best(all, 30, order.ascending);
    const threshold = (sorted[19][1] + sorted[20][1]) / 2;
    assert.deepEqual((await ask({ query, limit: 100, score_threshold: threshold })).map((p) => p.id), sorted.slice(0, 20).map(([id]) => id));

    const byId = scores(points, distance, points[9].vector, (_, p) => p !== points[9]);
    ranked(await ask({ query: points[9].id }), byId, order);
    ranked(await ask({ query: { nearest: points[9].id } }), byId, order);
  }
  const [hit] = (await client.query("Dot", { query, limit: 1, with_payload: ["owner"], with_vector: true })).points;
  const want = points.find((p) => p.id === hit.id);
  assert.deepEqual(hit.payload, { owner: `tenant ${tenant}` });
  nearVector(hit.vector, want.vector);
  assert.equal(typeof hit.version, "number");
  const { points: byOrder } = await client.query("Dot", { limit: 3, offset: 2 });
  assert.deepEqual(byOrder.map((p) => p.id), points.slice(2, 5).map((p) => p.id));
  await refused(client.query("Dot", { query: 777777 }), 404, "Not found: No point with id 777777 found");
  await refused(client.query("Dot", { query: [1, 2] }), 400, "Wrong input: Vector dimension error: expected dim: 8, got 2");
  await refused(client.query("Dot", { query, limit: 0 }), 422, /limit: value 0 invalid, must be 1 or larger/);
});

await check("query queryBatch", async () => {
  const like = (a, b) => score.Cosine(...[a, b].map((id) => points.find((p) => p.id === id).vector));
  for (const [diversity, candidates, limit] of [[0.7, 30, 8], [0, 20, 5], [1, 12, 12], [null, 25, 6]]) {
    const { points: hits } = await client.query("Cosine", { query: { nearest: query, mmr: { diversity, candidates_limit: candidates } }, limit });
    const all = scores(points, "Cosine", query);
    assert.deepEqual(hits.map((h) => h.id), mmr(best(all, candidates), like, diversity ?? 0.5, limit), `diversity ${diversity}`);
    hits.forEach((h) => near(h.score, all.get(h.id), "score"));
  }
  const filter = { must: [{ key: "flag", match: { value: true } }] };
  const answers = await client.queryBatch("Cosine", { searches: [{ query, limit: 4 }, { query: points[1].id, filter, limit: 6, with_payload: true }, { limit: 2 }] });
  assert.equal(answers.length, 3);
  ranked(answers[0].points, scores(points, "Cosine", query), { limit: 4 });
  ranked(answers[1].points, scores(points, "Cosine", points[1].vector, (p, x) => p.flag && x !== points[1]), { limit: 6 });
  answers[1].points.forEach((h) => assert.deepEqual(h.payload, points.find((p) => p.id === h.id).payload));
  assert.deepEqual(answers[2].points.map((h) => h.id), points.slice(0, 2).map((p) => p.id));

  const recommend = { positive: [points[2].id, points[80].id], negative: [points[4].id], strategy: "average_vector" };
  const [plus, also, minus] = [points[2], points[80], points[4]];
  const vector = averaged([plus, also].map((p) => normalised(p.vector)), [normalised(minus.vector)]);
  const { points: hits } = await client.query("Cosine", { query: { recommend } });
  ranked(hits, scores(points, "Cosine", vector, (_, p) => ![plus, also, minus].includes(p)));
});

await check("createPayloadIndex deletePayloadIndex", async () => {
  const schemas = {
    color: "keyword", price: "float", stock: "integer", flag: "bool", at: "geo", made: "datetime", serial: "uuid", tags: { type: "keyword", is_tenant: false },
    rating: { type: "integer", lookup: true, range: true }, "shop.offers[].city": "keyword",
  };
  for (const [field_name, field_schema] of Object.entries(schemas)) {
    for (const _ of [1, 2]) {
      const { status } = await client.createPayloadIndex("Cosine", { field_name, field_schema, wait: true });
      assert.equal(status, "completed", field_name);
    }
  }
  const { payload_schema } = await client.getCollection("Cosine");
  const shown = Object.fromEntries(Object.entries(payload_schema).map(([field, s]) => [field, s.data_type]));
  assert.deepEqual(shown, Object.fromEntries(Object.entries(schemas).map(([field, s]) => [field, s.type ?? s])));
  const have = (of) => points.filter((p) => [of(p.payload)].flat().filter((v) => v !== undefined && v !== null).length).length;
  assert.equal(payload_schema.color.points, have((p) => p.color), "points with a color");
  assert.equal(payload_schema.rating.points, have((p) => p.rating), "points with a rating");
  assert.equal(payload_schema.tags.points, have((p) => p.tags), "points with tags");
  assert.deepEqual(payload_schema.rating.params, schemas.rating);
  await filtered();
  for (const field of Object.keys(schemas)) {
    assert.equal((await client.deletePayloadIndex("Cosine", field)).status, "completed", field);
  }
  assert.deepEqual((await client.getCollection("Cosine")).payload_schema, {});
  await filtered();
  await refused(client.createPayloadIndex("nobody", { field_name: "a", field_schema: "keyword" }), 404, "Not found: Collection `nobody` doesn't exist!");
});

await check("updateCollection", async () => {
  assert.equal(await client.updateCollection("Euclid", { hnsw_config: { m: 24 }, optimizers_config: { indexing_threshold: 5000 } }), true);
  const { config } = await client.getCollection("Euclid");
  assert.deepEqual([config.hnsw_config.m, config.hnsw_config.ef_construct, config.optimizer_config.indexing_threshold], [24, 100, 5000]);
  ranked((await client.query("Euclid", { query })).points, scores(points, "Euclid", query), { ascending: true });
  await refused(client.updateCollection("nobody", { hnsw_config: { m: 24 } }), 404, "Not found: Collection `nobody` doesn't exist!");
  await refused(client.updateCollection("Euclid", { hnsw_config: { ef_construct: 0 } }), 422, /hnsw_config.ef_construct: value 0 invalid, must be 4 or larger/);
});

await check("createCollection getCollection updateCollection deleteCollection", async () => {
  const scalar = { scalar: { type: "int8", quantile: 0.99, always_ram: true } };
  const vectors = { size: 4, distance: "Cosine", hnsw_config: { m: 8 }, quantization_config: scalar };
  const words = { index: { full_scan_threshold: 100, on_disk: true } };
  const made = { vectors, sparse_vectors: { words }, hnsw_config: { ef_construct: 64 }, quantization_config: scalar, on_disk_payload: true, replication_factor: 1, shard_number: 1, timeout: 30 };
  assert.equal(await client.createCollection("settings", made), true);
  const before = (await client.getCollection("settings")).config;
  assert.deepEqual(before.params.vectors, vectors);
  assert.deepEqual(before.params.sparse_vectors, { words });
  assert.equal(before.params.on_disk_payload, true);
  assert.deepEqual(before.quantization_config, scalar);
  assert.equal(before.hnsw_config.ef_construct, 64);

  const change = { vectors: { "": { hnsw_config: { m: 12 } } }, sparse_vectors: { words: { index: { on_disk: false } } }, params: { on_disk_payload: false }, quantization_config: "Disabled", timeout: 30 };
  assert.equal(await client.updateCollection("settings", change), true);
  const after = (await client.getCollection("settings")).config;
  assert.deepEqual(after.params.vectors, { ...vectors, hnsw_config: { m: 12 } });
  assert.deepEqual(after.params.sparse_vectors, { words: { index: { full_scan_threshold: 100, on_disk: false } } });
  assert.equal(after.params.on_disk_payload, false);
  assert.equal(after.quantization_config, null);
  assert.equal(after.hnsw_config.ef_construct, 64);
  assert.equal(await client.deleteCollection("settings", { timeout: 30 }), true);
});

await check("updateCollectionAliases getCollectionAliases getAliases", async () => {
  const shown = (list) => list.aliases.map((a) => `${a.alias_name}=${a.collection_name}`).sort();
  const act = (...actions) => client.updateCollectionAliases({ actions });
  const create = (alias_name, collection_name) => ({ create_alias: { alias_name, collection_name } });
  assert.equal(await act(create("now", "Dot"), create("then", "Euclid"), create("äöü 100%", "Dot")), true);
  assert.deepEqual(shown(await client.getCollectionAliases("Dot")), ["now=Dot", "äöü 100%=Dot"]);
  assert.deepEqual(shown(await client.getAliases()), ["now=Dot", "then=Euclid", "äöü 100%=Dot"]);
  ranked((await client.query("now", { query })).points, scores(points, "Dot", query));
  assert.deepEqual(await client.count("äöü 100%"), { count: points.length });
  // All of it, or nothing.
  await refused(act({ delete_alias: { alias_name: "now" } }, create("x", "nobody")), 404, "Not found: Collection `nobody` doesn't exist!");
  assert.deepEqual(shown(await client.getAliases()), ["now=Dot", "then=Euclid", "äöü 100%=Dot"]);
  assert.equal(await act({ delete_alias: { alias_name: "now" } }, create("now", "Euclid"), { rename_alias: { old_alias_name: "then", new_alias_name: "once" } }), true);
  assert.deepEqual(shown(await client.getAliases()), ["now=Euclid", "once=Euclid", "äöü 100%=Dot"]);
  ranked((await client.query("now", { query })).points, scores(points, "Euclid", query), { ascending: true });
  await refused(act(create("Cosine", "Dot")), 409, "Wrong input: Collection `Cosine` already exists!");
  await refused(client.createCollection("now", { vectors: { size: 2, distance: "Dot" } }), 400, "Wrong input: Can't create collection with name now. Alias with the same name already exists");
  await refused(act(create("mine", `of tenant ${3 - tenant}`)), 404, `Not found: Collection \`of tenant ${3 - tenant}\` doesn't exist!`);
  assert.equal(await client.deleteCollection("Euclid"), true);
  assert.deepEqual(shown(await client.getAliases()), ["äöü 100%=Dot"]);
  assert.deepEqual(await client.collectionExists("now"), { exists: false });
});

await named(check, client);
if (QdrantClient.prototype.search) await legacy(check, client, points);
await writes(check, client);

await check("deleteCollection recreateCollection getCollections", async () => {
  const vectors = { size: 3, distance: "Dot" };
  assert.equal(await client.recreateCollection("Dot", { vectors }), true);
  assert.deepEqual((await client.getCollection("Dot")).config.params.vectors, vectors);
  assert.deepEqual(await client.count("Dot"), { count: 0 });
  assert.equal(await client.recreateCollection("new", { vectors }), true);
  for (const { name } of (await client.getCollections()).collections) assert.equal(await client.deleteCollection(name), true);
  assert.deepEqual((await client.getCollections()).collections, []);
  assert.equal(await client.deleteCollection("Dot"), false);
});
