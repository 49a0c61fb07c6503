// Enqueues a job for each number that comes in, and says whether it was accepted.
const readline = require("node:readline");
const { Queue } = require("bullmq");

const { hostname, port } = new URL(process.env.JOBS_URL);
const queue = new Queue("jobs", { connection: { host: hostname, port: Number(port) } });
queue.on("error", (problem) => console.error(String(problem)));

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      await queue.add("job", { number: Number(line) });
      console.log("accepted");
    } catch (problem) {
      console.log(String(problem).replaceAll("\n", " "));
    }
  }
}

main();
