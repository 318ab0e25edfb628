import type { ExportJob } from '@export-jobs/client';
import { STEPS, stepOf } from '../lib/stages.ts';

/** The steps of an export, one colour bar each. */
export function StepList({ job }: { job: ExportJob }) {
  const current = STEPS.findIndex(({ id }) => id === stepOf(job));
  return (
    <ol className="steps" aria-label="Steps">
      {STEPS.map(({ id, name }, i) => (
        <li
          key={id}
          data-step={id}
          data-state={
            i < current || (id === 'done' && i === current)
              ? 'past'
              : i === current
                ? 'now'
                : 'next'
          }
          aria-current={i === current ? 'step' : undefined}
        >
          {name}
        </li>
      ))}
    </ol>
  );
}
