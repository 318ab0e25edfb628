/** What the Worker is configured with inside workerd's tests; the keys are worth nothing elsewhere. */
export const TEST_BINDINGS = {
  DEVELOPMENT: '1',
  SIGNING_KEYS: `k1:${'0123456789abcdef'.repeat(4)}`,
  ID_KEY: 'fedcba9876543210'.repeat(4),
  PUBLIC_URL: 'https://export.example',
  RUNPOD_ENDPOINT_URL: 'https://runpod.example/v2/ep',
  RUNPOD_API_KEY: 'test-key',
} as const;
