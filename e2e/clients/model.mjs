// The exact model: points made from a seed, and what Qdrant has to answer
// about them, computed the plain way.
import { random, tenant } from "./kit.mjs";

const colors = ["red", "green", "blue", "dark blue"];
const cities = ["Ghent", "Porto", "Turin", "Gdansk", "Malmo"];

// uuid is the i-th UUID, in the order of i.
export const uuid = (i) => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`;

// makePoints makes n points: number ids, then UUIDs, in the order of a scroll.
// Fields are missing, null, lists and of several types, as they are in life.
export function makePoints(n, seed = tenant) {
  const rnd = random(seed * 7919);
  const pick = (list) => list[Math.floor(rnd() * list.length)];
  const some = (list) => list.filter(() => rnd() < 0.4);
  return Array.from({ length: n }, (_, i) => {
    const payload = {
      owner: `tenant ${seed}`,
      n: i,
      price: Math.floor(rnd() * 400) / 4,
      stock: Math.floor(rnd() * 5),
      flag: rnd() < 0.5,
      note: `${pick(colors)} thing from ${pick(cities)}`,
      tags: some(colors),
      made: new Date(Date.UTC(2020, 0, 1) + Math.floor(rnd() * 1e11)).toISOString(),
      serial: uuid(i % 7),
      at: { lon: rnd() * 20, lat: 40 + rnd() * 20 },
      shop: {
        owner: { name: pick(cities) },
        offers: Array.from({ length: Math.floor(rnd() * 3) }, () => ({ city: pick(cities), price: Math.floor(rnd() * 10), tags: some(colors) })),
      },
    };
    if (rnd() < 0.9) payload.color = pick(colors);
    if (rnd() < 0.8) payload.rating = rnd() < 0.3 ? null : Math.floor(rnd() * 6);
    return { id: i < n / 2 ? i + 1 : uuid(i), vector: makeVector(rnd, 8), payload };
  });
}

export const makeVector = (rnd, size) => Array.from({ length: size }, () => Math.fround(rnd() * 2 - 1));

export function makeSparse(rnd, terms, wanted) {
  const indices = Array.from({ length: terms }, (_, i) => i * 3).filter(() => rnd() < wanted);
  return { indices, values: indices.map(() => Math.fround(rnd() * 2)) };
}

const sum = (list) => list.reduce((a, b) => a + b, 0);
const dot = (a, b) => sum(a.map((x, i) => x * b[i]));

export function normalised(v) {
  const length = Math.sqrt(dot(v, v));
  return v.map((x) => x / length);
}

// scores by the name of a distance; of the last two the smaller is the better.
export const score = {
  Dot: dot,
  Cosine: (a, b) => dot(normalised(a), normalised(b)),
  Euclid: (a, b) => Math.sqrt(sum(a.map((x, i) => (x - b[i]) ** 2))),
  Manhattan: (a, b) => sum(a.map((x, i) => Math.abs(x - b[i]))),
};

export const ascending = (distance) => distance === "Euclid" || distance === "Manhattan";

// scores is the score of every point that a filter leaves, by id.
export function scores(points, distance, query, keep = () => true, vector = (p) => p.vector) {
  return new Map(points.filter((p) => vector(p) && keep(p.payload, p)).map((p) => [p.id, score[distance](vector(p), query)]));
}

// sparseScores: the points that share a term with the query. With idf, terms
// count by how rare they are among the points that have the vector.
export function sparseScores(points, query, vector, idf = false) {
  const have = points.filter(vector);
  const weight = (index) => {
    if (!idf) return 1;
    const n = have.filter((p) => vector(p).indices.includes(index)).length;
    return Math.log(1 + (have.length - n + 0.5) / (n + 0.5));
  };
  const all = new Map();
  for (const p of have) {
    const v = vector(p);
    const shared = query.indices.map((index, i) => [v.indices.indexOf(index), i]).filter(([at]) => at >= 0);
    if (shared.length) all.set(p.id, sum(shared.map(([at, i]) => query.values[i] * v.values[at] * weight(query.indices[i]))));
  }
  return all;
}

// best is a list of [id, score], best first.
export const best = (all, limit, smaller = false) => [...all.entries()].sort((a, b) => (smaller ? a[1] - b[1] : b[1] - a[1])).slice(0, limit);

const fused = (lists, scoreAt) => {
  const all = new Map();
  lists.forEach((list, l) => list.forEach(([id, s], rank) => all.set(id, (all.get(id) ?? 0) + scoreAt(l, rank, s))));
  return all;
};

// rrf is reciprocal rank fusion; the rank counts from 0.
export const rrf = (lists, k = 2, weights = lists.map(() => 1)) => fused(lists, (l, rank) => 1 / ((rank + 1) / weights[l] + k - 1));

// dbsf puts the mean less three deviations at 0 and the mean plus three at 1.
export function dbsf(lists) {
  const range = lists.map((list) => {
    const values = list.map(([, s]) => s);
    const mean = sum(values) / values.length;
    const deviation = Math.sqrt(sum(values.map((v) => (v - mean) ** 2)) / (values.length - 1));
    return { low: mean - 3 * deviation, width: 6 * deviation };
  });
  return fused(lists, (l, _, s) => (range[l].width > 0 ? (s - range[l].low) / range[l].width : 0.5));
}

// mmr orders candidates [id, score] so that each next one is like the query
// and unlike those before it.
export function mmr(candidates, similarity, diversity, limit) {
  const left = [...candidates];
  const chosen = [];
  while (left.length && chosen.length < limit) {
    const value = ([id, s]) => (1 - diversity) * s - diversity * (chosen.length ? Math.max(...chosen.map(([c]) => similarity(c, id))) : 0);
    left.sort((a, b) => value(b) - value(a));
    chosen.push(left.shift());
  }
  return chosen.map(([id]) => id);
}

// averaged is the vector that a recommendation looks for.
export function averaged(positives, negatives) {
  const mean = (list) => list[0].map((_, i) => sum(list.map((v) => v[i])) / list.length);
  const plus = mean(positives);
  return negatives.length ? plus.map((x, i) => 2 * x - mean(negatives)[i]) : plus;
}

// meters between two places on the globe.
export function meters(a, b) {
  const rad = (x) => (x * Math.PI) / 180;
  const h = Math.sin(rad(b.lat - a.lat) / 2) ** 2 + Math.cos(rad(a.lat)) * Math.cos(rad(b.lat)) * Math.sin(rad(b.lon - a.lon) / 2) ** 2;
  return 2 * 6371008.8 * Math.asin(Math.sqrt(h));
}

export const inBox = (p, west, south, east, north) => p.lon >= west && p.lon <= east && p.lat >= south && p.lat <= north;
export const box = (west, south, east, north) => [
  { lon: west, lat: south },
  { lon: east, lat: south },
  { lon: east, lat: north },
  { lon: west, lat: north },
  { lon: west, lat: south },
];

const list = (value) => (value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]);
const offers = (p) => p.shop.offers;
const before2022 = "2022-01-01T00:00:00Z";

// filters is every condition of the first tier in every place: its name, the
// filter, and which points it leaves.
export const filters = (points) => {
  const centre = { lon: 10, lat: 50 };
  const away = points.map((p) => meters(p.payload.at, centre)).sort((a, b) => a - b);
  const radius = (away[points.length / 4] + away[points.length / 4 + 1]) / 2;
  const value = (key, value) => ({ key, match: { value } });
  const ids = [points[0].id, points[3].id, points.at(-1).id, 999999];
  return [
    ["nothing", {}, () => true],
    ["value keyword", { must: [value("color", "red")] }, (p) => p.color === "red"],
    ["value as one condition", { must: value("color", "red") }, (p) => p.color === "red"],
    ["value integer", { must: [value("stock", 3)] }, (p) => p.stock === 3],
    ["value bool", { must: [value("flag", true)] }, (p) => p.flag],
    ["value uuid", { must: [value("serial", uuid(3))] }, (p) => p.serial === uuid(3)],
    ["value of another type", { must: [value("stock", "3")] }, () => false],
    ["value in a list", { must: [value("tags", "red")] }, (p) => p.tags.includes("red")],
    ["value of a nested key", { must: [value("shop.owner.name", "Ghent")] }, (p) => p.shop.owner.name === "Ghent"],
    ["value in an array of objects", { must: [value("shop.offers[].city", "Ghent")] }, (p) => offers(p).some((o) => o.city === "Ghent")],
    ["value in an element", { must: [value("shop.offers[0].city", "Ghent")] }, (p) => offers(p)[0]?.city === "Ghent"],
    ["any keyword", { must: [{ key: "color", match: { any: ["red", "blue"] } }] }, (p) => ["red", "blue"].includes(p.color)],
    ["any integer", { must: [{ key: "rating", match: { any: [1, 5] } }] }, (p) => [1, 5].includes(p.rating)],
    ["any of none", { must: [{ key: "color", match: { any: [] } }] }, () => false],
    ["except keyword", { must: [{ key: "color", match: { except: ["red", "blue"] } }] }, (p) => "color" in p && !["red", "blue"].includes(p.color)],
    ["except in a list", { must: [{ key: "tags", match: { except: ["red"] } }] }, (p) => p.tags.some((t) => t !== "red")],
    ["text", { must: [{ key: "note", match: { text: "thing from Porto" } }] }, (p) => p.note.includes("thing from Porto")],
    ["range", { must: [{ key: "price", range: { gt: 20, lte: 60.5 } }] }, (p) => p.price > 20 && p.price <= 60.5],
    ["range from and below", { must: [{ key: "price", range: { gte: 20, lt: 60.5 } }] }, (p) => p.price >= 20 && p.price < 60.5],
    ["range of dates", { must: [{ key: "made", range: { lt: before2022 } }] }, (p) => p.made < before2022],
    ["range of dates with a zone", { must: [{ key: "made", range: { gte: "2022-01-01T02:00:00+02:00" } }] }, (p) => p.made >= before2022],
    ["range in an array of objects", { must: [{ key: "shop.offers[].price", range: { gte: 8 } }] }, (p) => offers(p).some((o) => o.price >= 8)],
    ["values_count", { must: [{ key: "tags", values_count: { gte: 1, lt: 3 } }] }, (p) => p.tags.length >= 1 && p.tags.length < 3],
    ["values_count of what may be missing", { must: [{ key: "color", values_count: { lte: 0 } }] }, (p) => !("color" in p)],
    ["is_empty", { must: [{ is_empty: { key: "rating" } }] }, (p) => list(p.rating).length === 0],
    ["is_empty, a list", { must: [{ is_empty: { key: "tags" } }] }, (p) => p.tags.length === 0],
    ["is_empty, the other form", { must: [{ key: "rating", is_empty: true }] }, (p) => list(p.rating).length === 0],
    ["is_null", { must: [{ is_null: { key: "rating" } }] }, (p) => p.rating === null],
    ["is_null, the other form", { must: [{ key: "rating", is_null: true }] }, (p) => p.rating === null],
    ["has_id", { must: [{ has_id: ids }] }, (_, point) => ids.includes(point.id)],
    ["geo_bounding_box", { must: [{ key: "at", geo_bounding_box: { top_left: { lon: 3, lat: 55 }, bottom_right: { lon: 15, lat: 44 } } }] }, (p) => inBox(p.at, 3, 44, 15, 55)],
    ["geo_radius", { must: [{ key: "at", geo_radius: { center: centre, radius } }] }, (p) => meters(p.at, centre) < radius],
    [
      "geo_polygon with a hole",
      { must: [{ key: "at", geo_polygon: { exterior: { points: box(2, 42, 18, 58) }, interiors: [{ points: box(8, 47, 12, 53) }] } }] },
      (p) => inBox(p.at, 2, 42, 18, 58) && !inBox(p.at, 8, 47, 12, 53),
    ],
    [
      "nested",
      { must: [{ nested: { key: "shop.offers", filter: { must: [value("city", "Ghent"), { key: "price", range: { gte: 5 } }] } } }] },
      (p) => offers(p).some((o) => o.city === "Ghent" && o.price >= 5),
    ],
    [
      "nested, must_not",
      { must: [{ nested: { key: "shop.offers[]", filter: { must: [value("tags", "red")], must_not: [value("city", "Ghent")] } } }] },
      (p) => offers(p).some((o) => o.tags.includes("red") && o.city !== "Ghent"),
    ],
    ["should", { should: [value("color", "red"), value("flag", true)] }, (p) => p.color === "red" || p.flag],
    ["must_not", { must_not: [value("color", "red"), value("flag", true)] }, (p) => p.color !== "red" && !p.flag],
    [
      "min_should",
      { min_should: { conditions: [value("color", "red"), value("flag", true), { key: "price", range: { lt: 50 } }], min_count: 2 } },
      (p) => (p.color === "red") + p.flag + (p.price < 50) >= 2,
    ],
    [
      "all kinds of clauses",
      { must: [{ key: "price", range: { gte: 10 } }], should: [value("color", "red"), value("tags", "green")], must_not: [value("stock", 0)] },
      (p) => p.price >= 10 && (p.color === "red" || p.tags.includes("green")) && p.stock !== 0,
    ],
    [
      "filters in filters",
      { must: [{ should: [value("color", "blue"), { must_not: [value("flag", true)] }] }, { must: [{ key: "stock", range: { gte: 2 } }] }] },
      (p) => (p.color === "blue" || !p.flag) && p.stock >= 2,
    ],
  ];
};
