// @langchain/qdrant: a vector store as an application uses it.
import assert from "node:assert/strict";
import { Document } from "@langchain/core/documents";
import { Embeddings } from "@langchain/core/embeddings";
import { VectorStore } from "@langchain/core/vectorstores";
import { QdrantVectorStore } from "@langchain/qdrant";
import { apiKey, describes, near, ranked, suite, tenant, url, watched } from "./kit.mjs";
import { best, mmr, score, scores, uuid } from "./model.mjs";
import { embed } from "./texts.mjs";

class FakeEmbeddings extends Embeddings {
  embedQuery = async (text) => embed(text);
  embedDocuments = async (texts) => texts.map(embed);
}

const Store = watched(QdrantVectorStore);
const check = suite("QdrantVectorStore");
describes("QdrantVectorStore", QdrantVectorStore.prototype, VectorStore.prototype, QdrantVectorStore);

const embeddings = new FakeEmbeddings({});
const config = { url, apiKey, collectionName: "library" };
const languages = ["de", "en", "fr"];
const docs = Array.from({ length: 60 }, (_, i) => ({
  id: uuid(i),
  pageContent: `text ${i} of tenant ${tenant}`,
  metadata: { page: i, language: languages[i % 3], owner: tenant, marks: i % 4 ? ["a", `b${i % 5}`] : [] },
}));
const documents = docs.map((d) => new Document(d));

// The model is what the store has to have; a point is one of its documents.
const model = new Map();
const points = () => [...model.values()].map((d) => ({ id: d.id, vector: embed(d.pageContent), payload: d }));
const remember = (list) => list.forEach((d) => model.set(d.id, d));
const german = { must: [{ key: "metadata.language", match: { value: "de" } }] };
const isGerman = (d) => d.metadata.language === "de";

// found compares what a search found, with its scores, with the model.
function found(results, query, k, keep) {
  ranked(results.map(([d, s]) => ({ id: d.id, score: s })), scores(points(), "Cosine", embed(query), keep), { limit: k });
  for (const [d] of results) same(d);
}

function same(document) {
  const { pageContent, metadata } = model.get(document.id);
  assert.deepEqual({ pageContent: document.pageContent, metadata: document.metadata }, { pageContent, metadata });
}

let store;

await check("fromDocuments", async () => {
  store = watched(await Store.fromDocuments(documents.slice(0, 20), embeddings, config));
  remember(docs.slice(0, 20));
  found(await store.similaritySearchWithScore("anything", 100), "anything", 100);
});

await check("addDocuments addVectors", async () => {
  await store.addDocuments(documents.slice(20, 40));
  const rest = docs.slice(40);
  await store.addVectors(rest.map((d) => embed(d.pageContent)), rest.map(({ id, ...d }) => new Document(d)), { ids: rest.map((d) => d.id), customPayload: rest.map((d) => ({ p: d.metadata.page })) });
  remember(docs.slice(20));
  found(await store.similaritySearchWithScore("anything", 100), "anything", 100);
  const { points: custom } = await store.client.scroll("library", { filter: { must: [{ key: "customPayload.p", range: { gte: 50 } }] }, limit: 100 });
  assert.equal(custom.length, 10);
});

await check("similaritySearchVectorWithScore similaritySearchWithScore similaritySearch", async () => {
  found(await store.similaritySearchVectorWithScore(embed("where"), 7), "where", 7);
  found(await store.similaritySearchWithScore("who", 12, german), "who", 12, isGerman);
  const nested = { should: [{ key: "metadata.page", range: { lt: 5 } }, { key: "metadata.marks", match: { any: ["b3", "b4"] } }], must_not: [german] };
  found(await store.similaritySearchWithScore("who", 30, nested), "who", 30, (d) => (d.metadata.page < 5 || d.metadata.marks.some((m) => ["b3", "b4"].includes(m))) && !isGerman(d));
  const plain = await store.similaritySearch("what", 5, german);
  assert.deepEqual(plain.map((d) => d.id), best(scores(points(), "Cosine", embed("what"), isGerman), 5).map(([id]) => id));
  plain.forEach(same);
});

await check("maxMarginalRelevanceSearch", async () => {
  const like = (a, b) => score.Cosine(...[a, b].map((id) => embed(model.get(id).pageContent)));
  for (const [options, keep] of [
    [{ k: 5, fetchK: 25, lambda: 0.8 }],
    [{ k: 8, lambda: 0.3 }],
    [{ k: 6, fetchK: 18, filter: german }, isGerman],
  ]) {
    const got = await store.maxMarginalRelevanceSearch("when", options);
    const candidates = best(scores(points(), "Cosine", embed("when"), keep), options.fetchK ?? 20);
    // The client hands lambda over as the diversity.
    assert.deepEqual(got.map((d) => d.id), mmr(candidates, like, options.lambda ?? 0.5, options.k));
    got.forEach(same);
  }
});

await check("asRetriever", async () => {
  const got = await store.asRetriever({ k: 4, filter: german }).invoke("why");
  assert.deepEqual(got.map((d) => d.id), best(scores(points(), "Cosine", embed("why"), isGerman), 4).map(([id]) => id));
});

await check("delete", async () => {
  await store.delete({ ids: docs.slice(10, 15).map((d) => d.id) });
  for (const d of docs.slice(10, 15)) model.delete(d.id);
  found(await store.similaritySearchWithScore("left", 100), "left", 100);
  await store.delete({ filter: german });
  for (const d of docs) if (isGerman(d)) model.delete(d.id);
  found(await store.similaritySearchWithScore("left", 100), "left", 100);
});

await check("fromExistingCollection ensureCollection _vectorstoreType", async () => {
  const again = watched(await Store.fromExistingCollection(embeddings, { ...config, client: store.client }));
  found(await again.similaritySearchWithScore("left", 9), "left", 9);
  await again.ensureCollection();
  const other = watched(await Store.fromExistingCollection(embeddings, { ...config, collectionName: "other" }));
  assert.deepEqual(await other.similaritySearch("left", 9), []);
  assert.equal(again._vectorstoreType(), "qdrant");
});

await check("fromTexts", async () => {
  const texts = ["one", "two", "three"].map((t) => `${t} of tenant ${tenant}`);
  const made = watched(await Store.fromTexts(texts, texts.map((t) => ({ t })), embeddings, { ...config, collectionName: "texts", contentPayloadKey: "body", metadataPayloadKey: "about", customPayload: texts.map((t) => ({ upper: t.toUpperCase() })) }));
  const got = await made.similaritySearchWithScore(texts[1], 10);
  assert.deepEqual(got.map(([d]) => d.pageContent).sort(), [...texts].sort());
  assert.deepEqual([got[0][0].pageContent, got[0][0].metadata], [texts[1], { t: texts[1] }]);
  near(got[0][1], 1, "score of the same text");
  const { points: stored } = await made.client.scroll("texts", {});
  assert.deepEqual(stored.map((p) => p.payload.customPayload.upper).sort(), texts.map((t) => t.toUpperCase()).sort());
  for (const name of ["library", "other", "texts"]) assert.equal(await made.client.deleteCollection(name), true);
  assert.deepEqual((await made.client.getCollections()).collections, []);
});
