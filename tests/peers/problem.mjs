// A problem of one's own in JavaScript: `python -m refmeta check --exec "node problem.mjs" --suite own`.
// MAML on a network with one hidden layer, its gradient and Hessian product by hand.  With one of these words it is
// wrong: first-order, last-step, few, split.
// Chapter: derivations/protocol.md

import { createInterface } from "node:readline";

const mistake = process.argv[2];
const hidden = 4, points = 6, tasks = 3;
const theta0 = Array.from({ length: 3 * hidden + 1 }, (_, j) => 0.7 * Math.sin(1 + 1.7 * j));
const units = [...Array(hidden).keys()];

// The points (x, y) of a task on a split.
const data = (task, split) =>
  Array.from({ length: points }, (_, i) => {
    const x = -2 + (4 * (i + (split === "query" ? 0.5 : 0))) / points;
    return [x, (1 + task / 2) * Math.sin(x + task)];
  });

const parts = (theta) => [0, 1, 2].map((k) => theta.slice(k * hidden, (k + 1) * hidden)).concat(theta.at(-1));
const sum = (f) => units.reduce((total, j) => total + f(j), 0);

// L(θ) = 1/(2n) Σ r², r = w · tanh(a x + b) + c − y, with its gradient, and ∇²L v if there is a v.
function evaluate(theta, task, split, v = theta.map(() => 0)) {
  const [a, b, w, c] = parts(theta), [da, db, dw, dc] = parts(v);
  const grad = theta.map(() => 0), hvp = theta.map(() => 0);
  let loss = 0;
  for (const [x, y] of data(task, split)) {
    const h = units.map((j) => Math.tanh(a[j] * x + b[j]));
    const dh = units.map((j) => (1 - h[j] ** 2) * (da[j] * x + db[j]));
    const r = sum((j) => w[j] * h[j]) + c - y;
    const dr = sum((j) => dw[j] * h[j] + w[j] * dh[j]) + dc;
    loss += r ** 2 / (2 * points);
    const add = (i, slope, change) => {
      grad[i] += slope / points;
      hvp[i] += change / points;
    };
    for (const j of units) {
      const s = 1 - h[j] ** 2, back = r * w[j] * s;
      const dback = dr * w[j] * s + r * dw[j] * s - 2 * r * w[j] * h[j] * dh[j];
      add(j, back * x, dback * x);
      add(hidden + j, back, dback);
      add(2 * hidden + j, r * h[j], dr * h[j] + r * dh[j]);
    }
    add(3 * hidden, r, dr);
  }
  return { loss, grad, hvp };
}

function metaGradient(theta, task, alpha, steps) {
  const path = [theta], last = mistake === "few" ? steps - 1 : steps;
  for (let k = 0; k < last; k++) {
    const { grad } = evaluate(path[k], task, "support");
    path.push(path[k].map((t, j) => t - alpha * grad[j]));
  }
  let g = evaluate(path.at(-1), task, mistake === "split" ? "support" : "query").grad;
  const first = mistake === "first-order" ? last : mistake === "last-step" ? last - 1 : 0;
  for (let k = last - 1; k >= first && k >= 0; k--) {
    const { hvp } = evaluate(path[k], task, "support", g);
    g = g.map((x, j) => x - alpha * hvp[j]);
  }
  return g;
}

function reply({ type, id, theta, task, split, v, inputs }) {
  if (type === "hello") return { type: "ready", name: "Node", suites: ["own"] };
  if (type === "describe") return { type: "problem", id, algorithm: "maml", theta: theta0, alpha: 0.3, steps: 2, tasks, hvp: true };
  if (type === "evaluate") {
    const { loss, grad, hvp } = evaluate(theta, task, split, v);
    return { type: "value", id, ...(v ? { hvp } : { loss, grad }) };
  }
  const result = Array.from({ length: tasks }, (_, i) => metaGradient(inputs.theta, i, inputs.alpha, inputs.steps));
  return { type: "result", id, result };
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === "bye") break;
  console.log(JSON.stringify(reply(message)));
}
