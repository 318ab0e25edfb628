import type * as v from 'valibot';

/** What is wrong with a field, for somebody who does not know the schema library. */
export function explain(issue: v.BaseIssue<unknown>): string {
  if (issue.expected === 'never') return 'is not a field of this call';
  if (issue.kind === 'schema' && issue.received === 'undefined') return 'is missing';
  const expected = issue.expected?.replaceAll('"', '').replace(/^\((.*)\)$/, '$1');
  if (issue.kind === 'schema' && expected) return `must be ${expected.replaceAll(' | ', ' or ')}`;
  if (expected) return `must be ${expected.replace('>=', 'at least ').replace('<=', 'at most ')}`;
  return issue.message;
}
