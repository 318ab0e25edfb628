import { useRef, type ChangeEvent, type ReactNode } from 'react';

/** A button that opens the system's choice of files. */
export function FileButton(props: {
  className: string;
  children: ReactNode;
  onFile: (file: File) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const take = (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.item(0);
    // Cleared, so that choosing the same file again is heard too.
    event.target.value = '';
    if (file) props.onFile(file);
  };
  return (
    <>
      <button type="button" className={props.className} onClick={() => input.current?.click()}>
        {props.children}
      </button>
      <input
        ref={input}
        type="file"
        accept="video/*,.mkv,.mov,.mp4,.webm,.avi,.gif"
        data-testid="file"
        className="hidden"
        tabIndex={-1}
        aria-label="Video file"
        onChange={take}
      />
    </>
  );
}
