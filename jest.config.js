/** Jest runs what ships: the compiled files in dist/. See docs/testing.md. */
export default {
  testEnvironment: 'node',
  transform: {},
  testMatch: ['<rootDir>/dist/**/*.test.js'],
  // Milliseconds, for tests without a limit of their own: one that builds a payload takes seconds on a busy machine.
  testTimeout: 60_000,
};
