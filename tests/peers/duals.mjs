// MAML by dual numbers within dual numbers, one level for each gradient, behind the line protocol of `check --exec`.
// Chapter: derivations/protocol.md

import { createInterface } from "node:readline";

let levels = 0;

class Dual {
  constructor(level, x, dx) {
    Object.assign(this, { level, x, dx });
  }
}

const level = (a) => (a instanceof Dual ? a.level : 0);
const plain = (a) => (level(a) ? plain(a.x) : a);
const at = (a, l) => (level(a) === l ? a : { x: a, dx: 0 });

function binary(a, b, value, slope) {
  const l = Math.max(level(a), level(b));
  if (l === 0) return value(a, b);
  const p = at(a, l), q = at(b, l);
  return new Dual(l, binary(p.x, q.x, value, slope), slope(p, q));
}

const add = (a, b) => binary(a, b, (x, y) => x + y, (p, q) => add(p.dx, q.dx));
const mul = (a, b) => binary(a, b, (x, y) => x * y, (p, q) => add(mul(p.x, q.dx), mul(p.dx, q.x)));
const unary = (value, slope) => {
  const f = (a) => (level(a) ? new Dual(a.level, f(a.x), mul(slope(a.x), a.dx)) : value(a));
  return f;
};
const inverse = unary((x) => 1 / x, (x) => mul(-1, mul(inverse(x), inverse(x))));
const exp = unary(Math.exp, (x) => exp(x));
const log = unary(Math.log, inverse);
const sub = (a, b) => add(a, mul(-1, b));
const sum = (xs) => xs.reduce(add, 0);
const dot = (a, b) => sum(a.map((x, i) => mul(x, b[i])));

function softmax(logits) {
  const most = Math.max(...logits.map(plain)); // a constant that cancels
  const e = logits.map((x) => exp(sub(x, most))), total = inverse(sum(e));
  return e.map((x) => mul(x, total));
}

function grad(f, theta) {
  return theta.map((_, j) => {
    const l = ++levels;
    const y = f(theta.map((t, i) => new Dual(l, t, i === j ? 1 : 0)));
    levels--;
    return at(y, l).dx;
  });
}

// M⁻¹b by elimination; the matrices here are dominated by their diagonals.
function solve(M, b) {
  let rows = M.map((row, i) => [...row, b[i]]);
  for (let k = 0; k < rows.length; k++) {
    const pivot = rows[k].map((x) => mul(x, inverse(rows[k][k])));
    rows = rows.map((row, i) => (i === k ? pivot : row.map((x, j) => sub(x, mul(row[k], pivot[j])))));
  }
  return rows.map((row) => row.at(-1));
}

const losses = {
  "maml-quadratic": ({ A, c }) => (theta) => {
    const x = theta.map((t, i) => sub(t, c[i]));
    return mul(0.5, dot(x, A.map((row) => dot(row, x))));
  },
  "maml-classification": ({ X, labels }, { classes, ridge }) => (theta) => {
    const f = X[0].length, W = Array.from({ length: classes }, (_, k) => theta.slice(k * f, (k + 1) * f));
    const fit = sum(X.map((x, j) => log(softmax(W.map((w) => dot(w, x)))[labels[j]])));
    return sub(mul(ridge / 2, dot(theta, theta)), mul(1 / X.length, fit));
  },
  "maml-tabular": ({ P, R, rho }, { gamma, horizon }) => (theta) => {
    const A = R[0].length, states = rho.map((_, s) => s);
    const pi = states.map((s) => softmax(theta.slice(s * A, (s + 1) * A)));
    const r = states.map((s) => dot(pi[s], R[s]));
    const K = states.map((s) => states.map((t) => mul(gamma, sum(pi[s].map((p, a) => mul(p, P[s][a][t]))))));
    if (horizon === null) {
      const system = states.map((s) => states.map((t) => sub(s === t ? 1 : 0, K[s][t])));
      return mul(-1, dot(rho, solve(system, r)));
    }
    let V = states.map(() => 0);
    for (let t = 0; t < horizon; t++) V = states.map((s) => add(r[s], dot(K[s], V)));
    return mul(-1, dot(rho, V));
  },
};
const data = { "maml-quadratic": ["A", "c"], "maml-classification": ["X", "labels"], "maml-tabular": ["P", "R", "rho"] };

function maml(suite, inputs) {
  const { theta, alpha, steps } = inputs;
  const of = (prefix, i) => Object.fromEntries(data[suite].map((name) => [name, inputs[prefix + name][i]]));
  return inputs[data[suite][0]].map((_, i) => {
    const [support, query] = ["", "query_"].map((prefix) => losses[suite](of(prefix, i), inputs));
    return grad((phi) => {
      for (let k = 0; k < steps; k++) {
        const row = Array.isArray(alpha?.[0]) ? alpha[k] : alpha;
        const rate = (j) => (Array.isArray(row) ? row[row.length === 1 ? 0 : j] : row);
        const g = grad(support, phi);
        phi = phi.map((x, j) => sub(x, mul(rate(j), g[j])));
      }
      return query(phi);
    }, theta);
  });
}

function reply({ type, id, suite, inputs }) {
  if (type === "hello") return { type: "ready", name: "Node, dual numbers", suites: Object.keys(losses) };
  try {
    return { type: "result", id, result: maml(suite, inputs) };
  } catch (error) {
    return { type: "error", id, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === "bye") break;
  console.log(JSON.stringify(reply(message)));
}
