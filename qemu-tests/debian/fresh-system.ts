/** Set-up of a lane on the installed Debian: its image, made once, and for each test a system of its own on it. */
import { afterEach, beforeAll, beforeEach } from '@jest/globals';
import { installedDebian } from './orders.js';
import { DebianSystem } from './system.js';

/** Milliseconds: making the images takes tens of minutes on a busy machine. */
const longestSetUp = 60 * 60_000;

/** Called once, outside of tests. Gives what gives the system of the test that runs. */
export function freshSystemForEachTest(): () => DebianSystem {
  let image: string;
  let system: DebianSystem;
  beforeAll(async () => {
    image = await installedDebian();
  }, longestSetUp);
  beforeEach(() => {
    system = new DebianSystem(image);
  });
  afterEach(() => {
    system.remove();
  });
  return () => system;
}
