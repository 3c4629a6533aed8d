// What the clients of node have in common: checks, waiting for the driver, trying again.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Has the leader killed.
export async function killLeader() {
  console.log('kill');
  assert.equal((await lines.next()).value, 'killed');
}

// Does what has no harm in being done twice until it works; a cluster without a leader refuses for a while.
export async function untilDone(what) {
  const end = Date.now() + 30000;
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (Date.now() > end)
        throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

// Runs the story; nothing that is left open keeps the process.
export async function run(story) {
  const [name, host, follower, leader] = process.argv.slice(2);
  try {
    await story({ name, host, follower: Number(follower), leader: Number(leader) });
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}

export { assert };
