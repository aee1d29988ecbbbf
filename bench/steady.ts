import { startServer } from './webhook/load.ts';
import { typicalReview } from './webhook/reviews.ts';

/** The webhook at 500 requests a second, then its memory over 200,000 requests. */
const review = typicalReview();
const server = await startServer();
await server.flood(review, 5000);

const took = await server.pace(review, 500, 20);
const at = (share: number) => (took[Math.floor(took.length * share)] ?? Number.NaN).toFixed(2);
console.log(`500 requests a second for 20 s: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(0.99999)} ms`);

const sizes: string[] = [];
for (let i = 0; i <= 4; i++) {
  if (i > 0) await server.flood(review, 50_000);
  sizes.push(((await server.usage()).rss / 1e6).toFixed(0));
}
console.log(`RSS before and after each 50,000 of 200,000 requests: ${sizes.join(', ')} MB`);
await server.close();
