// @llamaindex/qdrant: nodes of documents, and queries with metadata filters.
import assert from "node:assert/strict";
import { NodeRelationship, TextNode } from "@llamaindex/core/schema";
import { FilterCondition, FilterOperator, VectorStoreQueryMode } from "@llamaindex/core/vector-store";
import { QdrantVectorStore } from "@llamaindex/qdrant";
import { apiKey, describes, eventually, ranked, suite, tenant, url, watched } from "./kit.mjs";
import { scores, uuid } from "./model.mjs";
import { embed } from "./texts.mjs";

const check = suite("QdrantVectorStore");
describes("QdrantVectorStore", QdrantVectorStore.prototype);
const embedModel = { getTextEmbedding: async (text) => embed(text) };
const store = watched(new QdrantVectorStore({ url, apiKey, collectionName: "nodes", embedModel }));

const kinds = ["poem", "letter", "list"];
const about = (i) => ({ owner: tenant, page: i, weight: i / 4, kind: kinds[i % 3], title: `chapter ${i % 7} by tenant ${tenant}`, ...(i % 4 ? { note: "x" } : {}) });
const nodes = Array.from({ length: 50 }, (_, i) => ({ id: uuid(i), text: `text ${i} of tenant ${tenant}`, document: uuid(1000 + (i % 5)), about: about(i) }));
const textNode = (n) =>
  new TextNode({ id_: n.id, text: n.text, metadata: { ...n.about }, embedding: embed(n.text), relationships: { [NodeRelationship.SOURCE]: { nodeId: n.document, metadata: {} } } });

let model = nodes;
const points = () => model.map((n) => ({ id: n.id, vector: embed(n.text), payload: n }));

// found compares the answer of a query, and the nodes in it, with the model.
async function found(query, keep, options, topK = 8) {
  const args = { queryEmbedding: embed("question"), similarityTopK: topK, mode: VectorStoreQueryMode.DEFAULT, ...query };
  const { ids, similarities, nodes: got } = await store.query(args, options);
  ranked(ids.map((id, i) => ({ id, score: similarities[i] })), scores(points(), "Cosine", args.queryEmbedding, keep), { limit: topK });
  got.forEach((node, i) => {
    const want = model.find((n) => n.id === ids[i]);
    assert.deepEqual([node.id_, node.text, node.sourceNode.nodeId], [want.id, want.text, want.document]);
    for (const [key, value] of Object.entries(want.about)) assert.equal(node.metadata[key], value, key);
  });
}

await check("client collectionExists createCollection initializeCollection", async () => {
  assert.equal(await store.collectionExists("nodes"), false);
  await store.createCollection("another", 16);
  assert.equal(await store.collectionExists("another"), true);
  await store.initializeCollection(16);
  await store.initializeCollection(16);
  assert.equal(await store.collectionExists("nodes"), true);
  assert.deepEqual((await store.client().getCollection("nodes")).config.params.vectors, { size: 16, distance: "Cosine" });
});

await check("add buildPoints", async () => {
  // Never more nodes than the client puts into one request (100): of more, its
  // buildPoints leaves out one after each batch.
  assert.deepEqual(await store.add(nodes.slice(0, 40).map(textNode)), nodes.slice(0, 40).map((n) => n.id));
  assert.equal((await store.buildPoints(nodes.slice(0, 3).map(textNode))).points.length, 3);
  await store.add(nodes.slice(38).map(textNode)); // two again
  assert.deepEqual(await store.client().count("nodes"), { count: 50 });
});

await check("query parseToQueryResult", async () => {
  await found({}, undefined, undefined, 50);
  const one = (key, operator, value) => ({ filters: { filters: [{ key, operator, value }] } });
  const { EQ, NE, LT, LTE, GT, GTE, IN, NIN, TEXT_MATCH, IS_EMPTY } = FilterOperator;
  await found(one("kind", EQ, "poem"), (n) => n.about.kind === "poem");
  await found(one("page", EQ, 17), (n) => n.about.page === 17);
  await found(one("weight", EQ, 4.25), (n) => n.about.weight === 4.25);
  await found(one("kind", NE, "poem"), (n) => n.about.kind !== "poem", undefined, 50);
  await found(one("page", LT, 9), (n) => n.about.page < 9, undefined, 50);
  await found(one("page", LTE, 9), (n) => n.about.page <= 9, undefined, 50);
  await found(one("weight", GT, 9.5), (n) => n.about.weight > 9.5, undefined, 50);
  await found(one("weight", GTE, 9.5), (n) => n.about.weight >= 9.5, undefined, 50);
  await found(one("kind", IN, ["poem", "list"]), (n) => n.about.kind !== "letter", undefined, 50);
  await found(one("kind", NIN, ["poem", "list"]), (n) => n.about.kind === "letter", undefined, 50);
  await found(one("title", TEXT_MATCH, "chapter 3"), (n) => n.about.title.includes("chapter 3"), undefined, 50);
  await found(one("note", IS_EMPTY), (n) => !("note" in n.about), undefined, 50);

  const filters = [{ key: "kind", operator: EQ, value: "poem" }, { key: "page", operator: LT, value: 10 }];
  await found({ filters: { filters, condition: FilterCondition.AND } }, (n) => n.about.kind === "poem" && n.about.page < 10);
  await found({ filters: { filters, condition: FilterCondition.OR } }, (n) => n.about.kind === "poem" || n.about.page < 10, undefined, 50);
  await found({ docIds: [uuid(1001), uuid(1003)] }, (n) => [uuid(1001), uuid(1003)].includes(n.document), undefined, 50);
  await found({ queryStr: "anything" }); // makes a filter of no conditions
  await found({ customParams: { hnsw_ef: 128, exact: true } });
  const qdrant_filters = { must_not: [{ key: "page", range: { gt: 20 } }] };
  await found({}, (n) => n.about.page <= 20, { qdrant_filters, qdrant_search_params: { exact: true } }, 50);

  const response = { points: [{ id: 7, score: 0.5, payload: (await store.buildPoints([textNode(nodes[0])])).points[0].payload }] };
  assert.deepEqual(store.parseToQueryResult(response).ids, ["7"]);
});

await check("delete", async () => {
  await store.delete(uuid(1002));
  model = model.filter((n) => n.document !== uuid(1002));
  await eventually(() => found({}, undefined, undefined, 50)); // the client does not wait
  await store.delete("nobody");
  await found({}, undefined, undefined, 50);
  for (const name of ["nodes", "another"]) assert.equal(await store.client().deleteCollection(name), true);
  assert.deepEqual((await store.client().getCollections()).collections, []);
});
