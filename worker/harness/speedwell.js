// Speedwell's harness for JavaScript on Node: the protocol of pyperf.py beside it, without its clothes.
//
//     const { bench } = require(process.env.SPEEDWELL_LIBRARY + "/speedwell.js");
//     bench("nbody", (loops) => { ... });
//
// `bench` times the function, which does its work `loops` times. One process runs one benchmark. Without the variable
// SPEEDWELL_HARNESS a script runs by hand and prints what it measured.
"use strict";

const fs = require("fs");

const PROTOCOL = 1;
const EXIT_WORKER_GONE = 75;

const now = () => Number(process.hrtime.bigint()) * 1e-9;

/** Writes events to the worker and waits for its answers. */
class Worker {
  constructor(settings) {
    this.events = settings.events_fd;
    this.control = settings.control_fd;
  }

  send(event, fields) {
    const line = JSON.stringify({ event, ...fields }).replace(/[\u007f-\uffff]/g, (c) =>
      "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
    fs.writeSync(this.events, line + "\n");
  }

  ask(event, fields) {
    this.send(event, fields);
    const answer = Buffer.alloc(3);
    let length = 0;
    while (length < 3) {
      const count = fs.readSync(this.control, answer, length, 3 - length, null);
      // Whoever started this process is gone, and so is the reason to go on.
      if (count === 0) process.exit(EXIT_WORKER_GONE);
      length += count;
    }
    if (answer.toString() !== "ok\n") process.exit(EXIT_WORKER_GONE);
  }
}

/** Stands in for the worker when a script is run by hand. */
class Person {
  send(event, fields) {
    if (event === "value") console.log(`${fields.warmup ? "warm-up" : "value  "} ${fields.index}: ${fields.seconds / fields.loops} s`);
  }
  ask(event, fields) { this.send(event, fields); }
}

function settingsOfWorker() {
  const text = process.env.SPEEDWELL_HARNESS;
  if (text === undefined) return null;
  const settings = JSON.parse(text);
  if (settings.protocol !== PROTOCOL) throw new Error(`the worker speaks harness protocol ${settings.protocol}, this harness ${PROTOCOL}`);
  return settings;
}

function bench(name, work) {
  const given = settingsOfWorker();
  const settings = given || { mode: "timing", loops: 1, warmups: 1, warmup_seconds: 0, values: 5, max_seconds: 60 };
  const worker = given ? new Worker(given) : new Person();
  worker.ask("start", { protocol: PROTOCOL, pid: process.pid, clock: "hrtime", python: {
    implementation: "node", version: process.versions.node, hexversion: 0,
    build: `${process.versions.node} (V8 ${process.versions.v8})`,
  } });
  const loops = settings.loops;
  worker.send("benchmark", { name, loops, inner_loops: 1, metadata: {} });
  let index = 0;
  const value = (warmup) => {
    if (settings.mode === "counters") worker.ask("enable", {});
    const begun = now();
    work(loops);
    const seconds = now() - begun;
    if (settings.mode === "counters") worker.ask("disable", {});
    worker.send("value", { index, warmup, loops, inner_loops: 1, seconds });
    index += 1;
  };
  const begun = now();
  const late = () => now() - begun > settings.max_seconds;
  for (let warmed = 0; warmed < settings.warmups || now() - begun < settings.warmup_seconds; warmed += 1) {
    if (late() && warmed > 0) break;
    value(true);
  }
  for (let taken = 0; taken < settings.values && !(late() && taken > 0); taken += 1) value(false);
  worker.ask("end", { children_max_rss_bytes: null });
}

/** Ends with an error when a result is wrong: a fast wrong answer is no measurement. */
function check(found, expected) {
  if (found !== expected) throw new Error(`the result is ${found}, it should be ${expected}`);
}

module.exports = { bench, check };
