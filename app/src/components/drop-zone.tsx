import { FileButton } from './file-button.tsx';

/** The empty page: a test card, as a screen shows before there is a picture. */
export function DropZone(props: {
  hovering: boolean;
  problem: string | null;
  onFile: (file: File) => void;
}) {
  return (
    <div className="monitor test-card" data-hovering={props.hovering}>
      <div className="card-bars" aria-hidden="true">
        <i className="bars-row" />
        <i className="reverse-row" />
        <i className="ramp-row" />
      </div>
      <div className="card-plate">
        <p className="card-title">{props.hovering ? 'Let go to open' : 'Drop a video anywhere'}</p>
        <p className="card-text">or paste it, or</p>
        <FileButton className="primary" onFile={props.onFile}>
          Choose a file
        </FileButton>
        {props.problem !== null && (
          <p role="alert" data-testid="error" className="alert">
            {props.problem}
          </p>
        )}
      </div>
    </div>
  );
}
