// BullMQ's worker: it writes down each job that it does. JOBS_URL and JOBS_DONE are as for the other frameworks.
const fs = require("node:fs");
const { Worker } = require("bullmq");

const { hostname, port } = new URL(process.env.JOBS_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const worker = new Worker("jobs", async (job) => fs.appendFileSync(process.env.JOBS_DONE, `${job.data.number}\n`), { connection });
worker.on("error", (problem) => console.error(String(problem)));
