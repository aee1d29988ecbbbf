import { cpuPerRequest, median, type Server, startServer } from './webhook/load.ts';
import { largeReview, typicalReview } from './webhook/reviews.ts';

/**
 * CPU a request of the webhook, against the same server that clones the pod and compares all of it. Both run as processes of their own
 * and take turns; the figures are the medians of the rounds.
 */
const ROUNDS = 5;

async function compare(name: string, review: string, count: number, ours: Server, baseline: Server): Promise<void> {
  const figures: { ours: number; baseline: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    figures.push({
      ours: await cpuPerRequest(ours, review, count),
      baseline: await cpuPerRequest(baseline, review, count),
    });
  }
  const mine = median(figures.map((f) => f.ours));
  const other = median(figures.map((f) => f.baseline));
  const ratio = median(figures.map((f) => f.ours / f.baseline));
  console.log(
    `${name}: ${mine.toFixed(0)} µs CPU a request; clone and compare: ${other.toFixed(0)} µs; ratio ${ratio.toFixed(2)}`,
  );
}

const ours = await startServer();
const baseline = await startServer('baseline');
const typical = typicalReview();
const large = largeReview();
for (const server of [ours, baseline]) await server.flood(typical, 5000);
await compare(`pod of ${(typical.length / 1000).toFixed(1)} KB`, typical, 4000, ours, baseline);
for (const server of [ours, baseline]) await server.flood(large, 30);
await compare(`pod of ${(large.length / 1e6).toFixed(2)} MB`, large, 60, ours, baseline);
await ours.close();
await baseline.close();
