// @modelcontextprotocol/sdk: an agent with tools. Every tool that the key sees
// is called, and what comes back is held against the schema that the tool
// announced, by the SDK and once more here.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { tenant } from "./kit.mjs";

const { MCP_URL, QDRANT_API_KEY, READER_KEY, MCP_KEY, WAGGLE } = process.env;
const mine = `secret of tenant ${tenant}`;

// connect is an agent with a key, over HTTP.
async function connect(key, headers = {}) {
  const client = new Client({ name: "waggle-test", version: "1" });
  const requestInit = { headers: { Authorization: `Bearer ${key}`, ...headers } };
  await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { requestInit }));
  return client;
}

const names = async (client) => (await client.listTools()).tools.map((t) => t.name).sort();
const agent = await connect(QDRANT_API_KEY);

// check runs one part. The tools that it called count as checked when all of it
// is as it should be.
let called = new Set();
async function check(part, run) {
  called = new Set();
  try {
    await run();
    for (const name of called) console.log(`checked MCP.${name}`);
  } catch (e) {
    process.exitCode = 1;
    console.log(`FAILED ${part}: ${e.stack}`);
  }
}

// call calls a tool and returns its structured answer, which its text repeats.
async function call(name, args, client = agent) {
  called.add(name);
  const result = await client.callTool({ name, arguments: args });
  assert(!result.isError, `${name}: ${result.content?.[0]?.text}`);
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return result.structuredContent;
}

async function fails(code, name, args, client = agent) {
  await assert.rejects(client.callTool({ name, arguments: args }), (e) => {
    assert.equal(e.code, code, `${name}: ${e}`);
    return true;
  });
}

await check("initialize listTools", async () => {
  assert.equal(agent.getServerVersion().name, "waggle");
  const { tools } = await agent.listTools();
  assert(tools.length >= 21, `${tools.length} tools`);
  for (const t of tools) {
    console.log(`has MCP.${t.name}`);
    assert(t.description, `${t.name} says nothing`);
    assert.equal(t.inputSchema.type, "object");
    assert.equal(t.outputSchema.type, "object");
  }
  assert.deepEqual(await names(await connect(QDRANT_API_KEY)), tools.map((t) => t.name).sort());
});

await check("collections", async () => {
  assert.deepEqual((await call("list_collections", {})).collections, []);
  await call("create_collection", { name: "notes", dimension: 3 });
  await call("create_collection", { name: "other" });
  assert.equal((await call("list_collections", {})).total_collections, 2);
  assert.equal((await call("get_collection_info", { name: "notes" })).dimension, 3);
  await call("delete_collection", { name: "other" });
  await fails(-32007, "get_collection_info", { name: "other" });
});

await check("texts", async () => {
  await call("insert_text", { collection_name: "notes", text: `the bees dance, ${mine}`, id: "bees", metadata: { kind: "insect", tenant } });
  await call("batch_insert_texts", {
    collection: "notes",
    texts: [
      { id: "wasps", text: "wasps sting and build nests of paper", metadata: { kind: "insect", tenant } },
      { id: "trees", text: "trees stand and grow leaves", metadata: { kind: "plant", tenant } },
    ],
  });
  const { results } = await call("search", { collection: "notes", query: "dance of the bees", limit: 5 });
  assert.equal(results[0].id, "bees");
  for (const r of results) assert.equal(r.payload.tenant, tenant, "another tenant's text");
  const hybrid = await call("search_hybrid", { collection: "notes", query: "paper nests" });
  assert.equal(hybrid.results[0].id, "wasps");
  const intelligent = await call("search_intelligent", { query: "dancing bees dance", collections: ["notes"] });
  assert.equal(intelligent.results[0].id, "bees");
  const contextual = await call("contextual_search", { collection: "notes", query: "stand sting", context_filters: { kind: "plant" } });
  assert.deepEqual(contextual.results.map((r) => r.id), ["trees"]);
  const multi = await call("multi_collection_search", { query: "leaves", collections: ["notes"] });
  assert.equal(multi.results[0].id, "trees");
});

await check("vectors", async () => {
  await call("batch_update", { collection: "notes", updates: [{ id: "bees", vector: [1, 0, 0] }, { id: "wasps", vector: [0, 1, 0] }] });
  assert.deepEqual((await call("get_vector", { collection: "notes", vector_id: "bees" })).vector, [1, 0, 0]);
  await call("update_vector", { collection: "notes", vector_id: "bees", metadata: { seen: true } });
  assert.equal((await call("get_vector", { collection: "notes", vector_id: "bees" })).payload.seen, true);
  const { results } = await call("batch_search", { searches: [{ collection: "notes", vector: [0, 1, 0], limit: 1 }] });
  assert.equal(results[0][0].id, "wasps");
  await call("delete_vector", { collection: "notes", vector_ids: ["trees"] });
  await call("batch_delete", { collection: "notes", ids: ["wasps"] });
  assert.equal((await call("get_collection_info", { name: "notes" })).vector_count, 1);
  assert.equal((await call("get_database_stats", {})).vectors, 1);
  assert.equal((await call("get_usage", {})).vectors.used, 1);
});

await check("errors", async () => {
  const wrong = await agent.callTool({ name: "insert_text", arguments: { collection_name: "notes", txt: "x" } });
  assert(wrong.isError);
  assert.match(wrong.content[0].text, /text/);
  const noEndpoint = await agent.callTool({ name: "embed_text", arguments: { text: "x" } });
  assert(noEndpoint.isError);
  called.add("embed_text").add("search_semantic"); // refused: that is all they do here
  assert.match(noEndpoint.content[0].text, /NO_EMBEDDING_ENDPOINT/);
  const semantic = await agent.callTool({ name: "search_semantic", arguments: { query: "x", collection: "notes" } });
  assert(semantic.isError);
  await fails(-32602, "no_such_tool", {});
  await assert.rejects(connect("hh_live_" + "x".repeat(40)), /401|access key/);
  await assert.rejects(connect(QDRANT_API_KEY, { Origin: "https://evil.example" }), /403|origin/);
});

await check("keys", async () => {
  const reader = await connect(READER_KEY);
  assert(!(await names(reader)).includes("insert_text"));
  await fails(-32003, "insert_text", { collection_name: "notes", text: "x" }, reader);
  assert.equal((await call("list_collections", {}, reader)).total_collections, 1);
  const desk = await connect(MCP_KEY);
  const tools = await names(desk);
  assert(tools.includes("insert_text") && !tools.includes("delete_vector") && !tools.includes("delete_collection"));
  await call("insert_text", { collection_name: "notes", text: "from the desk" }, desk);
});

await check("stdio", async () => {
  const client = new Client({ name: "waggle-test", version: "1" });
  const url = new URL(MCP_URL).origin;
  await client.connect(new StdioClientTransport({ command: WAGGLE, args: ["mcp", "--url", url], env: { WAGGLE_KEY: MCP_KEY } }));
  const { results } = await call("search", { collection: "notes", query: mine }, client);
  assert(results[0].payload.text.includes(mine));
  await client.close();
});
