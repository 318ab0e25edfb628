import { useDeleteExport } from '@export-jobs/client/react';
import { useId, useRef, useState } from 'react';
import { Icon } from './icon.tsx';

/** Deletes an export that has ended, after a question: what is deleted cannot be brought back. */
export function DeleteButton(props: { id: string; name: string; onDeleted: () => void }) {
  const { id, name, onDeleted } = props;
  const remove = useDeleteExport();
  const dialog = useRef<HTMLDialogElement>(null);
  const [asked, setAsked] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const question = useId();
  const go = () => {
    setAsked(true);
    setProblem(null);
    remove(id).then(onDeleted, (error: unknown) => {
      setAsked(false);
      setProblem(error instanceof Error ? error.message : String(error));
    });
  };
  return (
    <>
      <button
        type="button"
        className="quiet square"
        aria-label={`Delete ${name}`}
        title="Delete"
        onClick={() => dialog.current?.showModal()}
      >
        <Icon name="bin" />
      </button>
      <dialog ref={dialog} aria-labelledby={question}>
        <h2 id={question}>Delete “{name}”?</h2>
        <p>The export and its video are removed for good. The file that you uploaded is kept.</p>
        {problem !== null && (
          <p role="alert" className="alert">
            {problem}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" className="secondary" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
          <button type="button" className="danger" disabled={asked} onClick={go}>
            {asked ? 'Deleting…' : 'Delete'}
          </button>
        </div>
      </dialog>
    </>
  );
}
