// Writes, each compared with a map of points that the same was done to.
import assert from "node:assert/strict";
import { eventually, nearVector, random, refused, tenant } from "./kit.mjs";
import { makePoints, makeVector } from "./model.mjs";

export async function writes(check, client) {
  const rnd = random(tenant + 17);
  const model = new Map();
  const set = (points) => points.forEach((p) => model.set(p.id, structuredClone(p)));
  const points = makePoints(60);
  const flagged = { must: [{ key: "flag", match: { value: true } }] };
  const ids = (from, to) => points.slice(from, to).map((p) => p.id);
  const completed = ({ status, operation_id }) => assert.deepEqual([status, typeof operation_id], ["completed", "number"]);

  // same compares the whole collection with the model.
  const same = async (what) => {
    const got = (await client.scroll("writes", { limit: 1000, with_vector: true })).points;
    assert.deepEqual(got.map((p) => p.id).sort(), [...model.keys()].sort(), `${what}: ids`);
    for (const { id, vector, payload } of got) {
      assert.deepEqual(payload ?? {}, model.get(id).payload, `${what}: payload of ${id}`);
      nearVector(vector, model.get(id).vector);
    }
    const want = [...model.values()].filter((p) => p.payload.flag === true).length;
    assert.deepEqual(await client.count("writes", { filter: flagged }), { count: want }, `${what}: filtered`);
  };

  await check("createCollection upsert", async () => {
    await client.createCollection("writes", { vectors: { size: 8, distance: "Dot" } });
    completed(await client.upsert("writes", { points }));
    set(points);
    await same("upsert");
    const again = ids(0, 5).map((id) => ({ id, vector: makeVector(rnd, 8), payload: { again: true } }));
    completed(await client.upsert("writes", { points: again, ordering: "strong", timeout: 30 }));
    set(again);
    await same("upsert of points that there are");
    const bad = [{ id: 5000, vector: makeVector(rnd, 8) }, { id: 5001, vector: [1] }];
    await refused(client.upsert("writes", { points: bad }), 400, /Vector dimension error/);
    await refused(client.upsert("writes", { points: [{ id: "not an id", vector: makeVector(rnd, 8) }] }), 400, /not an id/);
    await refused(client.upsert("writes", { points: [{ id: -1, vector: makeVector(rnd, 8) }] }), 400, /-1/);
    await same("what is refused");
  });

  await check("setPayload", async () => {
    completed(await client.setPayload("writes", { payload: { color: "white", fresh: { a: [1, 2.5, null] } }, points: ids(3, 9) }));
    for (const id of ids(3, 9)) Object.assign(model.get(id).payload, { color: "white", fresh: { a: [1, 2.5, null] } });
    await same("by ids");
    completed(await client.setPayload("writes", { payload: { stock: -7 }, filter: flagged }));
    for (const p of model.values()) if (p.payload.flag) p.payload.stock = -7;
    await same("by filter");
    completed(await client.setPayload("writes", { payload: { name: "Anna", age: 7 }, points: ids(10, 14), key: "shop.owner" }));
    for (const id of ids(10, 14)) Object.assign(model.get(id).payload.shop.owner, { name: "Anna", age: 7 });
    await same("below a key");
  });

  await check("overwritePayload", async () => {
    completed(await client.overwritePayload("writes", { payload: { only: "this" }, points: ids(5, 8) }));
    for (const id of ids(5, 8)) model.get(id).payload = { only: "this" };
    await same("by ids");
    const filter = { must: [{ key: "color", match: { value: "green" } }] };
    completed(await client.overwritePayload("writes", { payload: { was: "green", flag: true }, filter }));
    for (const p of model.values()) if (p.payload.color === "green") p.payload = { was: "green", flag: true };
    await same("by filter");
  });

  await check("deletePayload", async () => {
    completed(await client.deletePayload("writes", { keys: ["color", "shop.owner.name", "absent"], points: ids(10, 20) }));
    for (const id of ids(10, 20)) {
      delete model.get(id).payload.color;
      delete model.get(id).payload.shop?.owner.name;
    }
    await same("by ids");
    completed(await client.deletePayload("writes", { keys: ["note"], filter: flagged }));
    for (const p of model.values()) if (p.payload.flag) delete p.payload.note;
    await same("by filter");
  });

  await check("clearPayload", async () => {
    completed(await client.clearPayload("writes", { points: ids(20, 23) }));
    for (const id of ids(20, 23)) model.get(id).payload = {};
    await same("by ids");
    completed(await client.clearPayload("writes", { filter: { must: [{ key: "stock", match: { value: 1 } }] } }));
    for (const p of model.values()) if (p.payload.stock === 1) p.payload = {};
    await same("by filter");
  });

  await check("updateVectors", async () => {
    const changes = ids(8, 12).map((id) => ({ id, vector: makeVector(rnd, 8) }));
    completed(await client.updateVectors("writes", { points: changes }));
    for (const { id, vector } of changes) model.get(id).vector = vector;
    await same("updateVectors");
  });

  await check("delete", async () => {
    completed(await client.delete("writes", { points: [...ids(0, 3), 777777], wait: true }));
    for (const id of ids(0, 3)) model.delete(id);
    await same("by ids");
    assert.equal((await client.delete("writes", { filter: { must: [{ key: "price", range: { lt: 20 } }] } })).status, "acknowledged");
    for (const [id, p] of model) if (p.payload.price < 20) model.delete(id);
    await eventually(() => same("by filter"));
    await refused(client.delete("nobody", { points: [1] }), 404, "Not found: Collection `nobody` doesn't exist!");
  });

  await check("batchUpdate", async () => {
    const [a, b, c] = [...model.keys()].slice(0, 3);
    const fresh = [600, 601, 602].map((id) => ({ id, vector: makeVector(rnd, 8), payload: { batch: id, color: "red", flag: true } }));
    const vector = makeVector(rnd, 8);
    const answers = await client.batchUpdate("writes", {
      operations: [
        { upsert: { points: fresh } },
        { set_payload: { payload: { mark: 1 }, points: [a, 600] } }, // sees what the first did
        { overwrite_payload: { payload: { over: true }, points: [601] } },
        { delete_payload: { keys: ["color"], points: [600] } },
        { clear_payload: { points: [b] } },
        { update_vectors: { points: [{ id: a, vector }] } },
        { delete: { points: [602, c] } },
      ],
    });
    assert.equal(answers.length, 7);
    answers.forEach(completed);
    set(fresh);
    Object.assign(model.get(a).payload, { mark: 1 });
    model.get(a).vector = vector;
    model.get(b).payload = {};
    model.get(600).payload = { batch: 600, flag: true, mark: 1 };
    model.get(601).payload = { over: true };
    model.delete(602);
    model.delete(c);
    await same("batchUpdate");
    const half = [{ upsert: { points: [{ id: 700, vector }] } }, { update_vectors: { points: [{ id: 777777, vector }] } }];
    await refused(client.batchUpdate("writes", { operations: half }), 404, "Not found: No point with id 777777 found");
    await same("a batch of which one operation cannot be"); // all of it, or nothing
  });

  await check("upsert retrieve scroll query count", bigNumbers(client, rnd));
}

// bigNumbers: ids and payload integers of 64 bits stay what they are, and 10
// stays apart from 10.0.
function bigNumbers(client, rnd) {
  return async () => {
    const [big, biggest] = [2n ** 53n + 1n, 2n ** 64n - 1n];
    await client.createCollection("big numbers", { vectors: { size: 4, distance: "Dot" } });
    const points = [7, big, biggest].map((id, i) => ({ id, vector: [i + 1, 0, 0, 0], payload: { n: 2n ** 62n + BigInt(i), half: 0.5, float: 1e300 } }));
    await client.upsert("big numbers", { points });
    const page = await client.scroll("big numbers", { limit: 2 });
    assert.deepEqual([...page.points.map((p) => p.id), page.next_page_offset], [7, big, biggest]);
    assert.deepEqual(page.points.map((p) => p.payload), points.slice(0, 2).map((p) => p.payload));
    assert.deepEqual((await client.scroll("big numbers", { offset: biggest })).points.map((p) => p.id), [biggest]);
    assert.deepEqual((await client.retrieve("big numbers", { ids: [big - 1n, biggest] })).map((p) => p.id), [biggest]);
    assert.deepEqual((await client.query("big numbers", { query: [1, 0, 0, 0] })).points.map((p) => p.id), [biggest, big, 7]);
    const filter = { must: [{ key: "n", match: { value: 2n ** 62n + 1n } }] };
    assert.deepEqual(await client.count("big numbers", { filter }), { count: 1 });
    await refused(client.upsert("big numbers", { points: [{ id: 2n ** 64n, vector: [1, 0, 0, 0] }] }), 400, /./);
  };
}
