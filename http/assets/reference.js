// The reference of the native API, drawn from openapi.json. It sends nothing
// but that one question, and writes text only as text.
"use strict";

const make = (name, text, ...inner) => {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...inner);
  return node;
};

const labelled = (name, label, text) => {
  const node = make(name, text);
  node.className = label;
  return node;
};

// resolve follows a reference within the document.
const resolve = (doc, schema) => {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.slice(2).split("/").reduce((at, key) => at[key], doc);
};

// kind is a schema's type in a few words.
const kind = (doc, schema) => {
  const s = resolve(doc, schema);
  if (s.type === "array") return "list of " + kind(doc, s.items);
  if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(" | ");
  return s.type || "any";
};

const bounds = (s) => {
  const words = [];
  for (const [key, word] of [["minimum", "from"], ["minLength", "from"], ["minItems", "from"], ["maximum", "to"], ["maxLength", "to"], ["maxItems", "to"]]) {
    if (s[key] !== undefined) words.push(word + " " + s[key]);
  }
  if (s.default !== undefined) words.push("default " + JSON.stringify(s.default));
  return words.join(", ");
};

// rows are the members of an object, and of those in it.
const rows = (doc, schema, prefix, depth) => {
  const s = resolve(doc, schema);
  const list = [];
  for (const [name, member] of Object.entries(s.properties || {})) {
    const inner = { ...resolve(doc, member), ...member };
    const required = (s.required || []).includes(name) ? "required" : "";
    const text = [inner.description, bounds(inner)].filter(Boolean).join(" ");
    list.push(make("tr", "", make("td", "", make("code", prefix + name)), make("td", kind(doc, member)), make("td", required), make("td", text)));
    const below = inner.type === "array" ? resolve(doc, inner.items) : inner;
    if (depth < 3 && below.properties) list.push(...rows(doc, below, prefix + name + (inner.type === "array" ? "[]." : "."), depth + 1));
  }
  return list;
};

const table = (title, list) => (list.length ? [make("h3", title), make("table", "", ...list)] : []);

const draw = (doc, method, path, o) => {
  const node = make("details", "", make("summary", "", labelled("span", "method", method.toUpperCase()), make("code", path), document.createTextNode(" " + o.summary)));
  if (o.description) node.append(make("p", o.description));
  node.append(labelled("p", "may", "Permission row: " + o["x-permission"] + " (" + o["x-allowed"].join(", ") + "). Operation " + o.operationId + "."));
  const parameters = (o.parameters || []).map((p) =>
    make("tr", "", make("td", "", make("code", p.name)), make("td", p.in), make("td", kind(doc, p.schema)), make("td", [p.description, bounds(p.schema)].filter(Boolean).join(" "))));
  node.append(...table("Parameters", parameters));
  const body = o.requestBody && Object.values(o.requestBody.content)[0];
  if (body) node.append(...table("Body", rows(doc, body.schema, "", 0)));
  for (const [status, answer] of Object.entries(o.responses)) {
    const content = answer.content && Object.values(answer.content)[0];
    if (content && content.schema) node.append(...table("Answer " + status, rows(doc, content.schema, "", 0)));
  }
  node.dataset.text = [o.operationId, method, path, o.summary, o.description].join(" ").toLowerCase();
  return node;
};

const show = (doc) => {
  document.getElementById("about").prepend(document.createTextNode(doc.info.summary + " Version " + doc.info.version + ". "));
  const main = document.getElementById("operations");
  const areas = new Map();
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, o] of Object.entries(methods)) {
      const area = o.tags[0];
      if (!areas.has(area)) areas.set(area, make("section", "", make("h2", area)));
      areas.get(area).append(draw(doc, method, path, o));
    }
  }
  main.append(...areas.values());
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const node of main.querySelectorAll("details")) node.hidden = !node.dataset.text.includes(wanted);
  });
};

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((fault) => document.getElementById("operations").append(make("p", "openapi.json cannot be read: " + fault)));
