// BullMQ as a user would run it: one Node process with ten jobs at once; what has ended is kept, as it comes.

"use strict";

const fs = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const { Queue, Worker } = require("bullmq");

const { REDIS_URL, BENCH_RECORDS, BENCH_TASK, BENCH_JOBS } = process.env;
const address = new URL(REDIS_URL);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };
const jobs = Number(BENCH_JOBS);
const BULK = 1000;

// The same record as everybody's: 24 bytes, appended by one write.
function leaveRecord() {
  const record = Buffer.alloc(24);
  record.writeDoubleLE((performance.timeOrigin + performance.now()) / 1000);
  const file = fs.openSync(BENCH_RECORDS, "a");
  fs.writeSync(file, record);
  fs.closeSync(file);
}

async function main() {
  const queue = new Queue("bench", { connection });
  for (let n = 0; n < jobs; n += BULK) {
    const many = Math.min(BULK, jobs - n);
    await queue.addBulk(Array.from({ length: many }, (_, i) => ({ name: BENCH_TASK, data: { number: n + i } })));
  }
  let ended = 0;
  const work = async (job) => {
    leaveRecord();
    if (job.name === "sleep10") await sleep(10);
  };
  const worker = new Worker("bench", work, { connection, concurrency: 10 });
  await new Promise((resolve) => worker.on("completed", () => ++ended === jobs && resolve()));
  await worker.close();
  await queue.close();
}

main();
