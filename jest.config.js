/** Jest runs what ships: the compiled files in dist/. See docs/testing.md. */
export default {
  testEnvironment: 'node',
  transform: {},
  testMatch: ['<rootDir>/dist/**/*.test.js'],
};
