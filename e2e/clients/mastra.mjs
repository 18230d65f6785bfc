// @mastra/qdrant: indexes, and every operator of its filter language.
import assert from "node:assert/strict";
import { QdrantVector } from "@mastra/qdrant";
import { apiKey, describes, eventually, nearVector, random, ranked, suite, tenant, url, watched } from "./kit.mjs";
import { box, inBox, makePoints, makeVector, meters, normalised, scores, uuid } from "./model.mjs";

const check = suite("QdrantVector");
describes("QdrantVector", QdrantVector.prototype);
const store = watched(new QdrantVector({ id: "waggle", url, apiKey }));
const rnd = random(tenant);
const indexName = "things";
let model = makePoints(300);
const queryVector = makeVector(rnd, 8);

// found compares the answer of a query with the model.
async function found(filter, keep, topK = 12) {
  const got = await store.query({ indexName, queryVector, topK, filter, includeVector: true });
  ranked(got, scores(model, "Cosine", queryVector, keep), { limit: topK });
  for (const { id, metadata, vector } of got) {
    const want = model.find((p) => p.id === id);
    assert.deepEqual(metadata, want.payload);
    nearVector(vector, normalised(want.vector));
  }
}

await check("createIndex listIndexes describeIndex", async () => {
  assert.deepEqual(await store.listIndexes(), []);
  const metrics = { cosine: 8, euclidean: 4, dotproduct: 3 };
  for (const [metric, dimension] of Object.entries(metrics)) {
    await store.createIndex({ indexName: metric, dimension, metric });
    assert.deepEqual(await store.describeIndex({ indexName: metric }), { dimension, count: 0, metric });
  }
  await store.createIndex({ indexName, dimension: 8 });
  await store.createIndex({ indexName, dimension: 8 }); // is there
  await assert.rejects(store.createIndex({ indexName, dimension: 9 }), /dimension/i);
  assert.deepEqual((await store.listIndexes()).sort(), [...Object.keys(metrics), indexName].sort());
  await assert.rejects(store.describeIndex({ indexName: "nobody" }), /Not Found/);
});

await check("upsert query", async () => {
  const ids = model.map((p) => p.id); // more than one batch of the client
  assert.deepEqual(await store.upsert({ indexName, vectors: model.map((p) => p.vector), metadata: model.map((p) => p.payload), ids }), ids);
  assert.equal((await store.describeIndex({ indexName })).count, 300);
  await found(undefined, undefined, 300);
  const [fresh] = await store.upsert({ indexName: "cosine", vectors: [model[0].vector] });
  const [got] = await store.query({ indexName: "cosine", queryVector });
  assert.deepEqual([got.id, got.metadata], [fresh, {}]);
  await assert.rejects(store.upsert({ indexName, vectors: [[1, 2]] }), /Bad Request|dimension/i);
  await assert.rejects(store.query({ indexName: "nobody", queryVector }), /Not Found/);
});

const centre = { lon: 10, lat: 50 };
const date = new Date("2021-06-01T00:00:00Z");
const offers = (p) => p.shop.offers;
const has = (p, key) => p[key] !== undefined && p[key] !== null;
const someIds = [model[1].id, model[200].id];

const operators = [
  ["empty", {}, () => true],
  ["a value", { color: "red" }, (p) => p.color === "red"],
  ["fields together", { color: "red", flag: true }, (p) => p.color === "red" && p.flag],
  ["null", { rating: null }, (p) => p.rating === null],
  ["a list", { color: ["red", "blue"] }, (p) => ["red", "blue"].includes(p.color)],
  ["an empty list", { tags: [] }, (p) => p.tags.length === 0],
  ["an object", { shop: { owner: { name: "Ghent" } } }, (p) => p.shop.owner.name === "Ghent"],
  ["a path", { "shop.owner.name": "Ghent" }, (p) => p.shop.owner.name === "Ghent"],
  ["$eq", { stock: { $eq: 2 } }, (p) => p.stock === 2],
  ["$eq null", { rating: { $eq: null } }, (p) => p.rating === null],
  ["$ne", { color: { $ne: "red" } }, (p) => p.color !== "red"],
  ["$ne null", { rating: { $ne: null } }, (p) => p.rating !== null],
  ["$gt", { price: { $gt: 50 } }, (p) => p.price > 50],
  ["$gte", { price: { $gte: 50 } }, (p) => p.price >= 50],
  ["$lt", { price: { $lt: 50 } }, (p) => p.price < 50],
  ["$lte and $gte", { price: { $lte: 50, $gte: 20.25 } }, (p) => p.price <= 50 && p.price >= 20.25],
  ["$in", { color: { $in: ["red", "green"] } }, (p) => ["red", "green"].includes(p.color)],
  ["$in of none", { color: { $in: [] } }, () => false],
  ["$nin", { color: { $nin: ["red", "green"] } }, (p) => !["red", "green"].includes(p.color)],
  ["$all", { tags: { $all: ["red", "blue"] } }, (p) => p.tags.includes("red") && p.tags.includes("blue")],
  ["$exists", { rating: { $exists: true } }, (p) => has(p, "rating")],
  ["$exists false", { rating: { $exists: false } }, (p) => !has(p, "rating")],
  ["$regex", { note: { $regex: "thing from Porto" } }, (p) => p.note.includes("thing from Porto")],
  ["$not of a field", { price: { $not: { $gt: 50 } } }, (p) => p.price <= 50],
  ["$not", { $not: { color: "red" } }, (p) => p.color !== "red"],
  ["$and", { $and: [{ color: "red" }, { price: { $lt: 60 } }] }, (p) => p.color === "red" && p.price < 60],
  ["$or", { $or: [{ color: "red" }, { stock: { $gte: 3 } }] }, (p) => p.color === "red" || p.stock >= 3],
  ["$or in $and", { $and: [{ flag: true }, { $or: [{ color: "red" }, { $not: { stock: 1 } }] }] }, (p) => p.flag && (p.color === "red" || p.stock !== 1)],
  ["$count", { tags: { $count: { $gte: 2, $lt: 4 } } }, (p) => p.tags.length >= 2 && p.tags.length < 4],
  ["$geo box", { at: { $geo: { type: "box", top_left: { lon: 4, lat: 56 }, bottom_right: { lon: 14, lat: 43 } } } }, (p) => inBox(p.at, 4, 43, 14, 56)],
  ["$geo radius", { at: { $geo: { type: "radius", center: centre, radius: 600000 } } }, (p) => meters(p.at, centre) < 600000],
  ["$geo polygon", { at: { $geo: { type: "polygon", exterior: { points: box(3, 43, 17, 57) }, interiors: [{ points: box(9, 48, 11, 52) }] } } }, (p) => inBox(p.at, 3, 43, 17, 57) && !inBox(p.at, 9, 48, 11, 52)],
  ["$nested", { "shop.offers": { $nested: { city: "Ghent", price: { $gte: 5 } } } }, (p) => offers(p).some((o) => o.city === "Ghent" && o.price >= 5)],
  ["$datetime of a date", { made: { $datetime: { range: { lt: date } } } }, (p) => p.made < date.toISOString()],
  ["$datetime of texts", { made: { $datetime: { range: { gte: "2021-06-01T00:00:00Z", lt: "2022-06-01T00:00:00Z" } } } }, (p) => p.made >= date.toISOString() && p.made < "2022-06-01T00:00:00.000Z"],
  ["$null", { rating: { $null: true } }, (p) => p.rating === null],
  ["$empty", { tags: { $empty: true } }, (p) => p.tags.length === 0],
  ["$hasId", { $hasId: someIds }, (_, point) => someIds.includes(point.id)],
  ["$hasVector", { $hasVector: "" }, () => true],
  ["Qdrant's own", { must: [{ key: "color", match: { value: "red" } }] }, (p) => p.color === "red"],
];

async function allOperators() {
  for (const [title, filter, keep] of operators) {
    try {
      await found(filter, keep, 30);
    } catch (e) {
      e.stack = `${title} ${JSON.stringify(store.transformFilter(filter))}: ${e.stack}`;
      throw e;
    }
  }
}

await check("query transformFilter", async () => {
  await allOperators();
  assert.deepEqual(store.transformFilter({ color: "red" }), { must: [{ key: "color", match: { value: "red" } }] });
});

await check("createPayloadIndex deletePayloadIndex query", async () => {
  const fields = { color: "keyword", stock: "integer", price: "float", at: "geo", flag: "bool", made: "datetime", serial: "uuid" };
  for (const [fieldName, fieldSchema] of Object.entries(fields)) {
    await store.createPayloadIndex({ indexName, fieldName, fieldSchema });
    await store.createPayloadIndex({ indexName, fieldName, fieldSchema }); // is there
  }
  await allOperators();
  for (const fieldName of Object.keys(fields)) await store.deletePayloadIndex({ indexName, fieldName });
  await store.deletePayloadIndex({ indexName, fieldName: "absent" });
  await allOperators();
});

await check("updateVector parsePointId", async () => {
  const [plain, other, both] = model;
  await store.updateVector({ indexName, id: String(plain.id), update: { metadata: { color: "white" } } });
  plain.payload.color = "white";
  other.vector = makeVector(rnd, 8);
  await store.updateVector({ indexName, id: String(other.id), update: { vector: other.vector } });
  both.vector = makeVector(rnd, 8);
  both.payload = { whole: true, tags: [] };
  await store.updateVector({ indexName, id: String(both.id), update: { vector: both.vector, metadata: both.payload } });
  await found(undefined, undefined, 300);

  const flagged = model.filter((p) => p.payload.flag === true);
  assert(flagged.length > 100, "the client reads those of a filter in pages of 100");
  await store.updateVector({ indexName, filter: { flag: true }, update: { metadata: { was: "flagged" } } });
  for (const p of flagged) p.payload.was = "flagged";
  const vector = makeVector(rnd, 8);
  await store.updateVector({ indexName, filter: { price: { $lt: 5 } }, update: { vector, metadata: { cheap: true } } });
  for (const p of model) if (p.payload.price < 5) Object.assign(p, { vector, payload: { cheap: true } });
  await found(undefined, undefined, 300);
  assert.deepEqual([store.parsePointId("12"), store.parsePointId(uuid(1))], [12, uuid(1)]);
});

await check("deleteVector deleteVectors", async () => {
  await store.deleteVector({ indexName, id: String(model[4].id) });
  await store.deleteVector({ indexName, id: model[250].id });
  model = model.filter((p) => p !== model[4] && p !== model[250]);
  await eventually(() => found(undefined, undefined, 300)); // the client does not wait
  const ids = model.slice(7, 12).map((p) => String(p.id));
  await store.deleteVectors({ indexName, ids });
  await store.deleteVectors({ indexName, ids: ["not an id"] });
  await store.deleteVectors({ indexName, filter: { flag: true } });
  model = model.filter((p) => !ids.includes(String(p.id)) && p.payload.flag !== true);
  await found(undefined, undefined, 300);
});

await check("createIndex validateVectorName upsert query", async () => {
  const points = makePoints(40);
  const named = "named";
  await store.createIndex({ indexName: named, namedVectors: { text: { size: 8, distance: "cosine" }, image: { size: 3, distance: "euclidean" } } });
  await store.createIndex({ indexName: named, namedVectors: { text: { size: 8, distance: "cosine" } } }); // is there
  await store.validateVectorName(named, "image");
  await assert.rejects(store.validateVectorName(named, "nobody"), /nobody/);
  const texts = points.slice(0, 25);
  const images = points.slice(25).map((p) => ({ ...p, vector: makeVector(rnd, 3) }));
  for (const [vectorName, list] of [["text", texts], ["image", images]]) {
    await store.upsert({ indexName: named, vectorName, vectors: list.map((p) => p.vector), metadata: list.map((p) => p.payload), ids: list.map((p) => p.id) });
  }
  const got = await store.query({ indexName: named, queryVector, using: "text", includeVector: true });
  ranked(got, scores(texts, "Cosine", queryVector));
  got.forEach(({ id, vector }) => nearVector(vector, normalised(texts.find((p) => p.id === id).vector)));
  const near = makeVector(rnd, 3);
  ranked(await store.query({ indexName: named, queryVector: near, using: "image", filter: { flag: true } }), scores(images, "Euclid", near, (p) => p.flag), { ascending: true });
  const has = await store.query({ indexName: named, queryVector, using: "text", topK: 100, filter: { $hasVector: "image" } });
  assert.deepEqual(has, []);
});

await check("deleteIndex listIndexes", async () => {
  for (const name of await store.listIndexes()) await store.deleteIndex({ indexName: name });
  assert.deepEqual(await store.listIndexes(), []);
  await store.deleteIndex({ indexName: "nobody" });
});
