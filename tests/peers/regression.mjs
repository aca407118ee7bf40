// MAML on linear regression, from scratch, behind the line protocol of `python -m refmeta check --exec`.
// `node regression.mjs` is right; `node regression.mjs first-order` leaves the Hessians out.
// Chapter: derivations/protocol.md

import { createInterface } from "node:readline";

const firstOrder = process.argv[2] === "first-order";

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// Xᵀr / n
const pulled = (X, r) => X[0].map((_, j) => X.reduce((sum, row, i) => sum + row[j] * r[i], 0) / X.length);

const gradient = (theta, X, y) => pulled(X, X.map((row, i) => dot(row, theta) - y[i]));

const hessianProduct = (v, X) => pulled(X, X.map((row) => dot(row, v)));

// A row of d step sizes for each step: alpha is a number, (d), (K, 1) or (K, d).
function stepSizes(alpha, steps, dim) {
  return Array.from({ length: steps }, (_, k) => {
    const row = Array.isArray(alpha?.[0]) ? alpha[k] : alpha;
    return Array.from({ length: dim }, (_, j) => (Array.isArray(row) ? row[row.length === 1 ? 0 : j] : row));
  });
}

function metaGradient(theta, X, y, queryX, queryY, alphas) {
  for (const row of alphas) {
    const g = gradient(theta, X, y);
    theta = theta.map((t, j) => t - row[j] * g[j]);
  }
  let lambda = gradient(theta, queryX, queryY);
  for (const row of firstOrder ? [] : [...alphas].reverse()) {
    const Hv = hessianProduct(lambda.map((x, j) => row[j] * x), X); // α first, the Hessian second
    lambda = lambda.map((x, j) => x - Hv[j]);
  }
  return lambda;
}

function result({ theta, X, y, query_X, query_y, alpha, steps }) {
  if (y.some((row, i) => row.length !== X[i].length)) throw new Error("y must have one entry for each row of X");
  const alphas = stepSizes(alpha, steps, theta.length);
  if (!alphas.flat().every(Number.isFinite)) throw new Error("alpha must be finite");
  return X.map((_, i) => metaGradient(theta, X[i], y[i], query_X[i], query_y[i], alphas));
}

function reply({ type, id, inputs }) {
  if (type === "hello") return { type: "ready", name: "Node", suites: ["maml-regression"] };
  try {
    return { type: "result", id, result: result(inputs) };
  } catch (error) {
    return { type: "error", id, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === "bye") break;
  console.log(JSON.stringify(reply(message)));
}
