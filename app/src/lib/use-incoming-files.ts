import { useEffect, useRef, useState } from 'react';

/** Takes files that are dropped anywhere on the page or pasted. Tells whether one hovers above it. */
export function useIncomingFiles(onFile: (file: File) => void): boolean {
  const [hovering, setHovering] = useState(false);
  const latest = useRef(onFile);
  useEffect(() => {
    latest.current = onFile;
  });
  useEffect(() => {
    const listening = new AbortController();
    const on = { signal: listening.signal };
    // Enter and leave fire for every element that is crossed, so they are counted.
    let depth = 0;
    const hover = (step: number) => {
      depth = Math.max(0, depth + step);
      setHovering(depth > 0);
    };
    const take = (data: DataTransfer | null) => {
      const file = data?.files.item(0);
      if (file) latest.current(file);
    };
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    addEventListener('dragenter', (event) => carriesFiles(event) && hover(1), on);
    addEventListener('dragleave', (event) => carriesFiles(event) && hover(-1), on);
    addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault(), on);
    addEventListener(
      'drop',
      (event) => {
        if (!carriesFiles(event)) return;
        event.preventDefault();
        hover(-depth);
        take(event.dataTransfer);
      },
      on,
    );
    addEventListener('paste', (event) => take(event.clipboardData), on);
    return () => listening.abort();
  }, []);
  return hovering;
}
